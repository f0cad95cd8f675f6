// Stands in for the Prefect CLI in local-stack.test.ts: `server start --port N` and `worker start --pool P`.
import { createServer, type IncomingMessage } from 'node:http';

const [, , , part, , ...args] = process.argv;
const option = (name: string) => args[args.indexOf(name) + 1] ?? '';
console.log(`${part ?? ''} is up`);

const made = new Set<string>();
const beats: { last_heartbeat_time: string }[] = [];

async function read(request: IncomingMessage): Promise<{ name?: string } | undefined> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return chunks.length > 0 ? (JSON.parse(Buffer.concat(chunks).toString()) as { name?: string }) : undefined;
}

function answer(method: string, url: string, name = ''): [number, unknown] {
  const type = process.env['FAKE_POOL_TYPE'];
  if (url === '/beat') return [200, beats.push({ last_heartbeat_time: new Date().toISOString() })];
  if (url.endsWith('/workers/filter')) return [200, beats];
  if (method === 'GET') return [200, { type }];
  if (method === 'PATCH') return [200, null];
  if (type !== undefined || made.has(url + name)) return [409, { detail: 'exists' }];
  made.add(url + name);
  return [201, { name }];
}

if (part === 'worker') {
  await fetch(new URL('/beat', process.env['PREFECT_API_URL']), { method: 'POST' });
  setInterval(() => undefined, 1e6);
} else if (process.env['FAKE_SERVER'] === 'broken') {
  console.log('ImportError: no module named uvicorn');
  process.exitCode = 3;
} else {
  createServer((request, response) => {
    void read(request).then((given) => {
      const { method = '', url = '' } = request;
      console.log(method, url, given ? JSON.stringify(given) : '');
      const [status, body] = answer(method, url, given?.name);
      response.writeHead(status).end(JSON.stringify(body));
    });
  }).listen(Number(option('--port')), option('--host'));
}
