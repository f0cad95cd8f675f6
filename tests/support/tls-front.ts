import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:tls';

export interface Authority {
  /** File of its certificate, PEM. */
  file: string;
  /** Makes a certificate. @param days of its life; negative: it has ended */
  issue(name: string, days?: number): { key: string; cert: string };
}

/** A certificate authority of one's own, made by openssl in a folder. */
export function makeAuthority(folder: string): Authority {
  mkdirSync(folder, { recursive: true });
  const at = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=Test CA',
    '-days',
    '30',
  );
  let issued = 0;
  return {
    file: at('ca.pem'),
    issue: (name, days = 30) => {
      issued += 1;
      const [key, csr, cert, extensions] = ['key', 'csr', 'pem', 'ext'].map((end) => `${issued}.${end}`) as [
        string,
        string,
        string,
        string,
      ];
      writeFileSync(at(extensions), `subjectAltName=${/^[\d.]+$/.test(name) ? 'IP' : 'DNS'}:${name}`);
      openssl('req', ...newKey, '-keyout', key, '-out', csr, '-subj', `/CN=${name}`);
      const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', extensions];
      openssl('x509', '-req', '-in', csr, ...signing, '-out', cert, '-days', String(days));
      return { key: readFileSync(at(key), 'utf8'), cert: readFileSync(at(cert), 'utf8') };
    },
  };
}

/** Terminates TLS in front of a port of loopback. @returns its own port, and what ends it */
export async function startTlsFront(
  target: number,
  certificate: { key: string; cert: string },
): Promise<{ port: number; close(): void }> {
  const server = createServer(certificate, (client) => {
    const upstream = connect(target, '127.0.0.1');
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) socket.on('error', () => socket.destroy());
    client.on('close', () => upstream.destroy());
  }).listen(0, '127.0.0.1');
  server.on('tlsClientError', () => undefined);
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}
