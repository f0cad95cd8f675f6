import { delimiter } from 'node:path';

/** Marks our processes, so that they are found again after a `kill -9` of the facade (see processes.ts). */
export const MARKER = 'PREFECT_PROXY_LOCAL_STACK';

/**
 * PREFECT_*: settings of the user's own Prefect. PYTHON*, VIRTUAL_ENV, CONDA_*: another Python's (PYTHONDONTWRITEBYTECODE
 * alone doubles the time of every start). WEB_CONCURRENCY: Prefect's own web server reads it, too, and does not start.
 * The rest are the facade's keys, which no flow has to see.
 */
const DROPPED =
  /^(PREFECT_|PYTHON|VIRTUAL_ENV$|CONDA_|PROXY_API_KEY|HOST_WEBHOOK_|WEB_CONCURRENCY$|__PYVENV_LAUNCHER__$)/;

/** The environment of the user's shell without what would leak into Prefect's processes. */
export function cleanedEnv(from: NodeJS.ProcessEnv, local: string): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(from)) {
    if (value !== undefined && !DROPPED.test(name)) env[name] = value;
  }
  env[MARKER] = local;
  env['DO_NOT_TRACK'] = '1';
  env['NO_COLOR'] = '1';
  return env;
}

/** What the server, the worker and its flow runs are started with. */
export function prefectEnv(base: Record<string, string>, at: { home: string; apiUrl: string; bin: string }) {
  // A proxy of the user's network must not see calls to loopback.
  const noProxy = [base['NO_PROXY'] ?? base['no_proxy'], '127.0.0.1', 'localhost'].filter(Boolean).join(',');
  const { origin, port } = new URL(at.apiUrl);
  return {
    ...base,
    PATH: [at.bin, base['PATH']].filter(Boolean).join(delimiter),
    NO_PROXY: noProxy,
    no_proxy: noProxy,
    PYTHONUNBUFFERED: '1',
    PREFECT_HOME: at.home,
    PREFECT_API_URL: at.apiUrl,
    PREFECT_SERVER_ANALYTICS_ENABLED: 'false',
    // `*` by default: any web page could read all that there is. Its UI may be opened by either name.
    PREFECT_SERVER_CORS_ALLOWED_ORIGINS: `${origin},http://localhost:${port}`,
    PREFECT_LOGGING_COLORS: 'false',
    // 10 s by default: much of the time of a short run on a laptop.
    PREFECT_WORKER_QUERY_SECONDS: '2',
  };
}
