import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { strangeNames, unknownNames } from './config-names.js';
import {
  certificateFile,
  customHeaders,
  isHttpProxy,
  isIgnoredHeader,
  proxyUrl,
  withProxyNames,
} from './config-network.js';
import { workQueues } from './config/work-queues.js';
import { asBrowsersWrite, isHostPattern, isOrigin } from './lib/origins.js';
import { proxyFor } from './lib/proxy-rules.js';
import { takeLogin } from './lib/url-login.js';
import { isLocalHost, socketPath, urlOf } from './process/address.js';

const text = z.string().trim();
const optionalText = text.transform((v) => v || undefined).optional();
const seconds = (fallback: number) => z.coerce.number().positive().max(86_400).default(fallback);
const count = (fallback: number, max: number) => z.coerce.number().int().min(1).max(max).default(fallback);
const limit = z.coerce.number().int().min(1).optional();
const share = z.coerce.number().min(0).max(1).default(0);
const words = text.transform((list) => list.split(',').flatMap((word) => word.trim() || [])).default([]);
const port = (fallback: number) => z.coerce.number().int().min(0).max(65_535).default(fallback);
const flagWord = z.enum(['true', 'false', '1', '0', 'yes', 'no', 'y', 'n', 'on', 'off']);
const isYes = (word: z.infer<typeof flagWord>) => ['true', '1', 'yes', 'y', 'on'].includes(word);
const flag = (fallback: boolean) =>
  z.string().trim().toLowerCase().pipe(flagWord).transform(isYes).default(fallback);

const flowsBesideUs = fileURLToPath(new URL('../flows', import.meta.url));

/** Every variable that is read, as `.env.template` lists them; an empty value counts as not set. */
const environment = z.object({
  PREFECT_API_URL: z
    .url({ protocol: /^https?$/ })
    .transform(withoutTrailingSlash)
    .optional(),
  PREFECT_API_KEY: optionalText,
  PREFECT_API_AUTH_STRING: optionalText,
  PREFECT_API_SSL_CERT_FILE: certificateFile,
  SSL_CERT_FILE: certificateFile,
  PREFECT_API_TLS_INSECURE_SKIP_VERIFY: flag(false),
  PREFECT_CLIENT_CUSTOM_HEADERS: customHeaders,
  HTTP_PROXY: proxyUrl,
  HTTPS_PROXY: proxyUrl,
  ALL_PROXY: proxyUrl,
  NO_PROXY: words,
  PREFECT_API_TIMEOUT: seconds(25),
  PREFECT_API_RETRY: flag(true),
  PREFECT_API_RETRY_DELAY: z.coerce.number().min(0).max(60).default(0.5),
  PREFECT_API_CONNECTIONS: count(64, 10_000),
  PREFECT_API_QUEUE: count(2_000, 1_000_000),
  PREFECT_API_MAX_REPLY_BYTES: count(64 * 1024 * 1024, 1024 * 1024 * 1024),
  PREFECT_PROXY_API_HOST: text
    .refine((host) => socketPath(host) !== '', 'unix: must be followed by a path')
    .default('127.0.0.1'),
  PREFECT_PROXY_API_PORT: port(8080),
  PROXY_API_KEY: words.refine(
    (keys) => keys.every((key) => /^[\x21-\x7e]{16,}$/.test(key)),
    'each key must have 16 characters or more: letters, digits, punctuation',
  ),
  ALLOW_UNAUTHENTICATED: flag(false),
  PROXY_ALLOWED_ORIGINS: words
    .refine(
      (origins) => origins.every(isOrigin),
      'each must be an origin: scheme, host and perhaps a port, e.g. https://ui.example.com',
    )
    .transform((origins) => origins.map(asBrowsersWrite)),
  PROXY_ALLOWED_HOSTS: words
    .refine(
      (hosts) => hosts.every(isHostPattern),
      'each must be a name or an address without a port, e.g. proxy.internal, or *.internal',
    )
    .transform((hosts) => hosts.map((host) => host.toLowerCase())),
  ALLOW_SECRET_READ: flag(true),
  WEB_CONCURRENCY: z.coerce.number().int().min(1).max(64).optional(),
  WORKER_TIMEOUT: z.coerce.number().min(1).max(86_400).default(30),
  GRACEFUL_TIMEOUT: seconds(30),
  DRAIN_DELAY: z.coerce.number().min(0).max(600).default(0.3),
  MAX_REQUESTS: z.coerce.number().int().min(0).default(0),
  MAX_REQUESTS_JITTER: z.coerce.number().int().min(0).default(0),
  PYTHON: optionalText,
  PREFECT_NOTIFICATIONS_WEBHOOK_KEY: words,
  WEBHOOK_AUTO_REGISTER: z
    .string()
    .trim()
    .toLowerCase()
    .pipe(z.union([z.literal('auto'), flagWord]))
    .transform((word) => (word === 'auto' ? word : isYes(word)))
    .default('auto'),
  WEBHOOK_PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .transform(withoutTrailingSlash)
    .optional(),
  HOST_WEBHOOK_NAME: text
    .regex(/^[a-z0-9_]{1,40}$/, 'must be 1 to 40 lower-case letters, digits and underscores')
    .default('default'),
  HOST_WEBHOOK_URL: z.url({ protocol: /^https?$/ }).optional(),
  HOST_WEBHOOK_KEY: optionalText,
  HOST_WEBHOOK_SECRET: z
    .string()
    .refine(isWebhookSecret, 'must be base64 of 24 to 64 bytes, with or without whsec_')
    .optional(),
  HOST_WEBHOOK_TLS_INSECURE_SKIP_VERIFY: flag(false),
  HOST_WEBHOOK_TIMEOUT: z.coerce.number().positive().max(600).default(10),
  HOST_WEBHOOK_CONCURRENCY: count(8, 1_000),
  HOST_WEBHOOK_SYNC_RUNS: flag(false),
  CLEANUP_GRACE: z.coerce.number().min(0).max(86_400).default(60),
  RECONCILE_INTERVAL: z.coerce.number().min(0).max(86_400).default(15),
  RECONCILE_LOOKBACK: z.coerce
    .number()
    .min(0)
    .max(31 * 86_400)
    .default(3_600),
  SYNC_RUN_TIMEOUT: seconds(3_600),
  SYNC_RUN_START_TIMEOUT: seconds(300),
  MAX_REQUESTS_IN_FLIGHT: count(256, 100_000),
  MAX_REQUESTS_QUEUED: z.coerce.number().int().min(0).max(100_000).default(2_000),
  REQUEST_QUEUE_TIMEOUT: z.coerce.number().positive().max(600).default(5),
  MAX_WAITERS: count(2_000, 100_000),
  LIST_CEILING: count(10_000, 30_000),
  MAX_BODY_BYTES: count(2 * 1024 * 1024, 1024 ** 3),
  MAX_PIPELINED_REQUESTS: count(16, 10_000),
  REQUEST_TIMEOUT: seconds(60),
  KEEP_ALIVE_TIMEOUT: seconds(5),
  LOGDIR: optionalText,
  LOG_LEVEL: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
  SENTRY_DSN: z
    .url({ protocol: /^https?$/ })
    .refine(isDsn, 'must look like https://key@host/project')
    .optional(),
  SENTRY_ENVIRONMENT: text.default('production'),
  SENTRY_TSR: share,
  SENTRY_PSR: share,
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .transform(withoutTrailingSlash)
    .optional(),
  PREFECT_POOL_NAME: text.default('dalgo_work_pool'),
  PREFECT_WORK_POOL_TYPE: text.default('process'),
  PREFECT_WORK_QUEUES: workQueues,
  PREFECT_WORK_QUEUE1_NAME: text.default('ddp'),
  PREFECT_WORK_QUEUE1_CONCURRENCY_LIMIT: limit,
  PREFECT_WORK_QUEUE2_NAME: text.default('manual-dbt'),
  PREFECT_WORK_QUEUE2_CONCURRENCY_LIMIT: limit,
  PREFECT_SERVER_PORT: port(4200),
  DEFAULT_WORK_POOL_NAME: optionalText,
  DEFAULT_WORK_QUEUE_NAME: text.default('ddp'),
  FLOWS_PATH: text.default(flowsBesideUs),
  FLOWS_GIT_URL: optionalText,
  PREFECT_PROXY_GIT_BRANCH: text.default('main'),
  FLOWS_ENTRYPOINT: z
    .string()
    .regex(/^[^:]+:[A-Za-z_]\w*$/, 'must look like file.py:flow_function')
    .optional(),
  FLOWS_DIRECTORY: text
    .refine(isBelow, 'must be a folder of the repository, e.g. flows: without .. and without a / before it')
    .optional(),
});

export type Config = Readonly<
  z.infer<typeof environment> & {
    /** `Authorization` for the host, from a login in HOST_WEBHOOK_URL. */
    hostAuthorization?: string | undefined;
    /** Names that are set and look as if they were meant for us: a line for each. */
    strangeNames?: readonly string[];
  }
>;

/** The environment is wrong; `problems` has one line for each variable, naming it and never its value. */
export class ConfigError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(`configuration is wrong:\n${problems.map((p) => `  - ${p}`).join('\n')}`);
  }
}

interface Relation {
  /** The variables that do not go together. */
  of: (keyof Config)[];
  isWrong: (config: Config) => boolean;
  problem: string;
}

const RELATIONS: Relation[] = [
  {
    of: ['PREFECT_API_KEY', 'PREFECT_API_AUTH_STRING'],
    isWrong: (config) => config.PREFECT_API_KEY !== undefined && config.PREFECT_API_AUTH_STRING !== undefined,
    problem: 'only one of them can be sent',
  },
  {
    of: ['PREFECT_API_URL', 'PREFECT_API_KEY', 'PREFECT_API_AUTH_STRING'],
    isWrong: ({ PREFECT_API_URL: url, PREFECT_API_KEY: key, PREFECT_API_AUTH_STRING: login }) =>
      url !== undefined && takeLogin(url).login !== undefined && (key ?? login) !== undefined,
    problem: 'the URL has a login of its own, and only one can be sent',
  },
  {
    of: ['PREFECT_CLIENT_CUSTOM_HEADERS', 'PREFECT_API_URL', 'PREFECT_API_KEY', 'PREFECT_API_AUTH_STRING'],
    isWrong: ({
      PREFECT_CLIENT_CUSTOM_HEADERS: headers,
      PREFECT_API_URL: url = '',
      PREFECT_API_KEY: key,
      PREFECT_API_AUTH_STRING: login,
    }) => 'authorization' in headers && (key ?? login ?? takeLogin(url).login) !== undefined,
    problem: 'only one authorization can be sent',
  },
  ...(['PREFECT_API_URL', 'HOST_WEBHOOK_URL'] as const).map((name) => ({
    of: [name, 'HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY'] satisfies (keyof Config)[],
    // Of a proxy that is not used, nothing is wrong.
    isWrong: (config: Config) => !isHttpProxy(config[name] && proxyFor(config[name], config)),
    problem: 'only proxies by http:// or https:// can be used (or name the server in NO_PROXY)',
  })),
  {
    of: ['PREFECT_PROXY_API_HOST', 'PROXY_API_KEY'],
    isWrong: (config) =>
      !isLocalHost(config.PREFECT_PROXY_API_HOST) &&
      config.PROXY_API_KEY.length === 0 &&
      !config.ALLOW_UNAUTHENTICATED,
    problem:
      'on an address that others can reach a key is needed; or say ALLOW_UNAUTHENTICATED=true, and everybody is served',
  },
  {
    of: ['PREFECT_API_URL', 'PREFECT_PROXY_API_PORT'],
    isWrong: ({ PREFECT_API_URL: url, PREFECT_PROXY_API_HOST: host, PREFECT_PROXY_API_PORT: port }) =>
      url !== undefined && new URL(url).origin === urlOf({ host, port }),
    problem: 'the orchestrator cannot be where the facade itself listens',
  },
];

const DOUBTS: Relation[] = [
  {
    of: ['PREFECT_API_TLS_INSECURE_SKIP_VERIFY'],
    isWrong: (config) => config.PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    problem: "Prefect's certificate is not checked: whoever is on the way can read and change everything",
  },
  {
    of: ['HOST_WEBHOOK_TLS_INSECURE_SKIP_VERIFY'],
    isWrong: (config) => config.HOST_WEBHOOK_TLS_INSECURE_SKIP_VERIFY,
    problem: "the host's certificate is not checked: whoever is on the way can read the notification key",
  },
  {
    of: ['PREFECT_CLIENT_CUSTOM_HEADERS'],
    isWrong: (config) => Object.keys(config.PREFECT_CLIENT_CUSTOM_HEADERS).some(isIgnoredHeader),
    problem: 'headers that belong to the client or to the connection are not sent',
  },
  {
    of: ['PREFECT_PROXY_API_HOST', 'ALLOW_UNAUTHENTICATED'],
    isWrong: (config) => !isLocalHost(config.PREFECT_PROXY_API_HOST) && config.PROXY_API_KEY.length === 0,
    problem:
      'no key is asked for: whoever reaches the address may do all that the facade can. It answers to addresses, to names without a dot and to those of PROXY_ALLOWED_HOSTS',
  },
  {
    of: ['HOST_WEBHOOK_KEY', 'HOST_WEBHOOK_SECRET'],
    isWrong: (config) =>
      config.HOST_WEBHOOK_URL === undefined &&
      (config.HOST_WEBHOOK_KEY !== undefined || config.HOST_WEBHOOK_SECRET !== undefined),
    problem: 'without HOST_WEBHOOK_URL nobody is told anything',
  },
];

/**
 * Reads the whole configuration once.
 * @param namesInFile those of `.env`, where a mistyped name is told from one that is not for us
 * @throws ConfigError that lists every wrong variable at once
 */
export function loadConfig(
  env: Readonly<Record<string, string | undefined>>,
  namesInFile: readonly string[] = [],
): Config {
  const given = Object.fromEntries(
    Object.entries(withProxyNames(env)).flatMap(([name, value]) =>
      value?.trim() && !isServiceLink(name, value) ? [[name, value.trim()]] : [],
    ),
  );
  const parsed = environment.safeParse(given);
  const issues = parsed.error?.issues ?? [];
  const wrong = new Set(issues.map(({ path }) => String(path[0])));
  // What is wrong by itself is left out, so that the rest can be looked at, too.
  const rest = parsed.data ?? environment.parse(omit(given, wrong));
  const names = { environment: Object.keys(env), file: new Set(namesInFile) };
  const known = Object.keys(environment.shape);
  const problems = [
    ...unknownNames(names, known),
    ...issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`),
    ...RELATIONS.filter(({ of, isWrong }) => !of.some((name) => wrong.has(name)) && isWrong(rest)).map(
      ({ of, problem }) => `${of.join(' and ')}: ${problem}`,
    ),
  ];
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(withoutLogins({ ...rest, strangeNames: strangeNames(names, known) }));
}

/** Takes the logins out of the URLs, so that no URL can show one. */
function withoutLogins(config: Config): Config {
  const { PREFECT_API_URL: prefect, HOST_WEBHOOK_URL: host } = config;
  const { login, url: prefectUrl } = takeLogin(prefect ?? '');
  const { authorization, url: hostUrl } = takeLogin(host ?? '');
  return {
    ...config,
    ...(login !== undefined && {
      PREFECT_API_URL: withoutTrailingSlash(prefectUrl),
      PREFECT_API_AUTH_STRING: login,
    }),
    ...(authorization !== undefined && { HOST_WEBHOOK_URL: hostUrl, hostAuthorization: authorization }),
  };
}

function omit(given: Readonly<Record<string, string>>, names: ReadonlySet<string>): Record<string, string> {
  return Object.fromEntries(Object.entries(given).filter(([name]) => !names.has(name)));
}

/** A service `prefect-server` in Kubernetes sets PREFECT_SERVER_PORT of all around it to `tcp://10.0.0.1:4200`. */
function isServiceLink(name: string, value: string): boolean {
  return name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value);
}

/** What can be, and is hardly meant: a line for each. */
export function doubtsOf(config: Config): string[] {
  const doubts = DOUBTS.filter(({ isWrong }) => isWrong(config));
  return [
    ...doubts.map(({ of, problem }) => `${of.join(' and ')}: ${problem}`),
    ...(config.strangeNames ?? []),
  ];
}

/**
 * Reads the configuration as it is now, for a reload. This process's own environment stays as it is.
 * @param env what wins over `.env`
 * @throws ConfigError
 */
export async function loadConfigAgain(env: Readonly<Record<string, string | undefined>>): Promise<Config> {
  if (!existsSync('.env')) return loadConfig(env);
  const { parse } = await import('dotenv');
  const file = parse(readFileSync('.env'));
  const given = Object.entries(env).filter(([, value]) => value !== undefined);
  return loadConfig({ ...file, ...Object.fromEntries(given) }, Object.keys(file));
}

/** Reads `.env` beside the working directory into the process, where there is one. @returns the names in it */
export async function loadDotenv(): Promise<string[]> {
  if (!existsSync('.env')) return [];
  const { config } = await import('dotenv');
  return Object.keys(config({ quiet: true }).parsed ?? {});
}

/** What Sentry's SDK takes: it says nothing of one that it does not take. */
function isDsn(url: string): boolean {
  // What is no URL at all is said already.
  if (!URL.canParse(url)) return true;
  const { username, pathname } = new URL(url);
  return /^\w+$/.test(username) && /\/\d+$/.test(pathname);
}

/** A relative path that does not lead out of where it begins. */
function isBelow(path: string): boolean {
  return !/^\/|[:\\\0]/.test(path) && !path.split('/').includes('..');
}

function withoutTrailingSlash(url: string): string {
  return url.replace(/\/+$/, '');
}

/** As the libraries of Standard Webhooks read it. */
function isWebhookSecret(secret: string): boolean {
  const base64 = secret.replace(/^whsec_/, '');
  const { length } = Buffer.from(base64, 'base64');
  return /^[A-Za-z0-9+/]+={0,2}$/.test(base64) && base64.length % 4 === 0 && length >= 24 && length <= 64;
}
