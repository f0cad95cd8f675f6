import { createServer } from 'node:net';
import { LocalStackError } from './errors.js';

/** The preferred port where it is free, else the next free one. */
export async function freePort(preferred: number, host = '127.0.0.1'): Promise<number> {
  const last = Math.min(preferred + 200, 65_535);
  for (let port = preferred; port <= last; port += 1) {
    if (await isFree(port, host)) return port;
  }
  throw new LocalStackError(`No free port on ${host} from ${preferred} to ${last}.`);
}

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false);
      else reject(error);
    });
    server.listen({ port, host, exclusive: true }, () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}
