import { Socket } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { buildConnector, Client, Pool, type Dispatcher } from 'undici';
import { takeLogin } from './url-login.js';

/** How a server outside is reached, beyond its address. */
export interface Network {
  /** The proxy's URL, perhaps with a login; undefined: directly. */
  proxy?: string | undefined;
  /** PEM of the certificates that are trusted instead of Node's own list. */
  ca?: readonly string[] | undefined;
  /** Takes any certificate. */
  isInsecure?: boolean | undefined;
}

export type PoolOptions = Omit<Pool.Options, 'connect' | 'tls'> & {
  /** Milliseconds. */
  connectTimeout: number;
};

/** The proxy did not open a tunnel. `code` is safe to show: `PROXY_407`. */
export class ProxyError extends Error {
  readonly code: string;
  constructor(status: number) {
    super(`the proxy answers ${status}`);
    this.code = `PROXY_${status}`;
  }
}

/**
 * A pool of connections to one server. Directly it is undici's own; through a proxy, https goes in a tunnel (CONNECT),
 * and http is sent to the proxy with the whole URL, as Prefect's own client does: many proxies tunnel to port 443 only.
 * @param isUpgrade for websockets, which need a tunnel always
 */
export function createPool(
  target: URL,
  network: Network,
  options: PoolOptions,
  isUpgrade = false,
): Dispatcher {
  const { connectTimeout } = options;
  const { proxy, ca, isInsecure } = network;
  const trust = tlsOptions(ca, isInsecure);
  if (proxy === undefined) return new Pool(target.origin, trust ? { ...options, connect: trust } : options);
  const { url, authorization } = takeLogin(proxy);
  const login = authorization === undefined ? {} : { 'proxy-authorization': authorization };
  // The proxy's own certificate is checked always.
  const toProxy = buildConnector({ ...tlsOptions(ca, false), timeout: connectTimeout });
  if (target.protocol === 'http:' && !isUpgrade) {
    const pool = new Pool(new URL(url).origin, { ...options, connect: toProxy });
    return pool.compose((dispatch) => (request, handler) => {
      const headers = { ...headersOf(request.headers), ...login, host: target.host };
      return dispatch({ ...request, path: target.origin + request.path, headers }, handler);
    });
  }
  const secured = buildConnector({ ...trust, timeout: connectTimeout });
  return new Pool(target.origin, {
    ...options,
    connect: (at, callback) => {
      const port = at.port || (at.protocol === 'https:' ? '443' : '80');
      const client = new Client(new URL(url).origin, { connect: toProxy, headersTimeout: connectTimeout });
      client
        .connect({ path: `${at.hostname}:${port}`, headers: { host: `${at.hostname}:${port}`, ...login } })
        .then(({ statusCode, socket }) => {
          if (statusCode !== 200) {
            socket.on('error', () => undefined).destroy();
            throw new ProxyError(statusCode);
          }
          // undici's types call it a Duplex; it is the socket of the connection.
          if (!(socket instanceof Socket)) throw new ProxyError(statusCode);
          const httpSocket = socket;
          if (at.protocol === 'https:') secured({ ...at, httpSocket }, callback);
          else callback(null, httpSocket);
        })
        .catch((error: unknown) => {
          callback(error instanceof Error ? error : new Error('the proxy failed'), null);
        })
        .finally(() => {
          // One whose connection broke is destroyed already, and says so.
          client.close().catch(() => undefined);
        });
    },
  });
}

function tlsOptions(
  ca: readonly string[] | undefined,
  isInsecure: boolean | undefined,
): { secureContext?: SecureContext; rejectUnauthorized?: boolean } | undefined {
  if (!ca && !isInsecure) return undefined;
  return {
    // Made once: a list of all public authorities takes a while to read.
    ...(ca && { secureContext: createSecureContext({ ca: [...ca] }) }),
    ...(isInsecure && { rejectUnauthorized: false }),
  };
}

function headersOf(headers: Dispatcher.DispatchOptions['headers']): Record<string, string> {
  const pairs = headers && !Array.isArray(headers) ? Object.entries(headers as Record<string, string>) : [];
  return Object.fromEntries(pairs);
}

const CERTIFICATE =
  /^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_TLS_CERT_ALTNAME|INVALID_CA$|HOSTNAME_MISMATCH$|PATH_LENGTH)/;

/** Whether an error's code says that a server's certificate is not accepted. */
export function isCertificateProblem(code: string | undefined): boolean {
  return code !== undefined && CERTIFICATE.test(code);
}
