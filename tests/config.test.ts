import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ConfigError, doubtsOf, loadConfig } from '../src/config.js';

const file = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));

/** Design.md's table. */
const DEFAULTS = {
  PREFECT_API_URL: undefined,
  PREFECT_API_KEY: undefined,
  PREFECT_API_AUTH_STRING: undefined,
  PREFECT_API_TIMEOUT: 25,
  PREFECT_API_RETRY: true,
  PREFECT_API_RETRY_DELAY: 0.5,
  PREFECT_PROXY_API_HOST: '127.0.0.1',
  PREFECT_PROXY_API_PORT: 8080,
  PROXY_API_KEY: [],
  ALLOW_UNAUTHENTICATED: false,
  ALLOW_SECRET_READ: true,
  PROXY_ALLOWED_ORIGINS: [],
  PROXY_ALLOWED_HOSTS: [],
  LOGDIR: undefined,
  LOG_LEVEL: 'info',
  PREFECT_POOL_NAME: 'dalgo_work_pool',
  PREFECT_WORK_POOL_TYPE: 'process',
  PREFECT_WORK_QUEUE1_NAME: 'ddp',
  PREFECT_WORK_QUEUE2_NAME: 'manual-dbt',
  PREFECT_WORK_QUEUE1_CONCURRENCY_LIMIT: undefined,
  PREFECT_WORK_QUEUE2_CONCURRENCY_LIMIT: undefined,
  DEFAULT_WORK_QUEUE_NAME: 'ddp',
  FLOWS_GIT_URL: undefined,
  PREFECT_PROXY_GIT_BRANCH: 'main',
  FLOWS_DIRECTORY: undefined,
  FLOWS_ENTRYPOINT: undefined,
};

function problemsOf(env: Record<string, string>): string[] {
  try {
    loadConfig(env);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).problems.every((line) => (error as Error).message.includes(line))).toBe(
      true,
    );
    return [...(error as ConfigError).problems];
  }
  return [];
}

const WRONG: [string, string][] = [
  ['PREFECT_API_URL', 'canary-url'],
  ['PREFECT_API_URL', 'ftp://canary'],
  ['PREFECT_API_URL', 'file:///canary'],
  ['PREFECT_API_TIMEOUT', 'canary'],
  ['PREFECT_API_TIMEOUT', '0'],
  ['PREFECT_API_TIMEOUT', '-31337'],
  ['PREFECT_API_TIMEOUT', 'Infinity'],
  ['PREFECT_API_RETRY', 'canary'],
  ['PREFECT_API_RETRY_DELAY', '-31337'],
  ['PREFECT_API_RETRY_DELAY', '5s'],
  ['PREFECT_API_CONNECTIONS', '1.5'],
  ['PREFECT_API_QUEUE', '0'],
  ['PREFECT_PROXY_API_HOST', 'unix:'],
  ['PROXY_API_KEY', 'canary'],
  ['ALLOW_UNAUTHENTICATED', 'canary'],
  ['ALLOW_SECRET_READ', 'canary'],
  ['PROXY_ALLOWED_ORIGINS', 'canary.example.com'],
  ['PROXY_ALLOWED_ORIGINS', 'https://canary.example.com/'],
  ['PROXY_ALLOWED_ORIGINS', 'https://*.canary.example.com'],
  ['PROXY_ALLOWED_ORIGINS', 'https://a.example, null'],
  ['PROXY_ALLOWED_ORIGINS', '*'],
  ['PROXY_ALLOWED_HOSTS', 'canary.example.com:8080'],
  ['PROXY_ALLOWED_HOSTS', 'https://canary.example.com'],
  ['PROXY_ALLOWED_HOSTS', 'localhost, canary.*'],
  ['PROXY_ALLOWED_HOSTS', '*canary.example.com'],
  ['MAX_PIPELINED_REQUESTS', '0'],
  ['PREFECT_PROXY_API_PORT', '65536'],
  ['PREFECT_PROXY_API_PORT', '80canary'],
  ['MAX_REQUESTS_IN_FLIGHT', '0'],
  ['MAX_REQUESTS_QUEUED', '-31337'],
  ['REQUEST_QUEUE_TIMEOUT', '31337'],
  ['MAX_WAITERS', 'canary'],
  ['LIST_CEILING', '31337000'],
  ['MAX_BODY_BYTES', 'canary'],
  ['LOG_LEVEL', 'canary'],
  ['SENTRY_DSN', 'canary'],
  ['SENTRY_DSN', 'ftp://canary@127.0.0.1/1'],
  ['SENTRY_DSN', 'https://canary.example.com/1'],
  ['SENTRY_DSN', 'https://canary@example.com/canary'],
  ['SENTRY_TSR', '-0.1'],
  ['SENTRY_TSR', 'canary'],
  ['SENTRY_PSR', '31337'],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'canary:4317'],
  ['PREFECT_WORK_QUEUE1_CONCURRENCY_LIMIT', '0'],
  ['PREFECT_WORK_QUEUES', ','],
  ['PREFECT_WORK_QUEUES', 'canary,edr:0'],
  ['PREFECT_WORK_QUEUES', 'canary:x'],
  ['PREFECT_WORK_QUEUES', 'canary:1.5'],
  ['PREFECT_WORK_QUEUES', ':2'],
  ['PREFECT_WORK_QUEUES', 'canary,edr,canary:2'],
  ['PREFECT_WORK_QUEUES', 'canary/edr'],
  ['PREFECT_WORK_QUEUE2_CONCURRENCY_LIMIT', 'canary'],
  ['FLOWS_ENTRYPOINT', 'canary.py'],
  ['FLOWS_DIRECTORY', '/canary'],
  ['FLOWS_DIRECTORY', 'canary/../../flows'],
  ['FLOWS_DIRECTORY', 'canary.py:flow'],
];

describe('Configuration', () => {
  it('has the defaults of the design', () => {
    const config = loadConfig({});
    const read = Object.keys(DEFAULTS).map((name) => [name, config[name as keyof typeof DEFAULTS]]);
    expect(Object.fromEntries(read)).toEqual(DEFAULTS);
  });

  it('is frozen', () => {
    expect(Object.isFrozen(loadConfig({}))).toBe(true);
  });

  it.each(['', ' ', '\t'])('takes %j for not set', (empty) => {
    const names = Object.keys(loadConfig({})).concat(Object.keys(DEFAULTS));
    expect(loadConfig(Object.fromEntries(names.map((name) => [name, empty])))).toEqual(loadConfig({}));
  });

  it.each(WRONG)('%s=%s stops with its name and without its value', (name, value) => {
    const problems = problemsOf({ [name]: value });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(name);
    expect(problems[0]).not.toMatch(/canary|31337/);
  });

  it('names all that is wrong at once', () => {
    const wrong = Object.fromEntries(WRONG);
    const problems = problemsOf(wrong);
    for (const name of Object.keys(wrong)) expect(problems.some((line) => line.startsWith(name))).toBe(true);
  });

  it('names both credentials where both are set, beside other problems', () => {
    const both = { PREFECT_API_KEY: 'canary', PREFECT_API_AUTH_STRING: 'canary:x' };
    expect(problemsOf(both).join()).toMatch(/PREFECT_API_KEY.*PREFECT_API_AUTH_STRING/);
    const more = problemsOf({ ...both, LOG_LEVEL: 'canary' }).join();
    expect(more).toMatch(/LOG_LEVEL/);
    expect(more).toMatch(/PREFECT_API_KEY/);
    expect(more).not.toContain('canary');
  });

  it.each(['true', 'TRUE', ' yes ', '1', 'on', 'y'])('PREFECT_API_RETRY=%j is on', (value) => {
    expect(loadConfig({ PREFECT_API_RETRY: value }).PREFECT_API_RETRY).toBe(true);
  });
  it.each(['false', 'False', 'no', '0', 'off', 'n'])('PREFECT_API_RETRY=%j is off', (value) => {
    expect(loadConfig({ PREFECT_API_RETRY: value }).PREFECT_API_RETRY).toBe(false);
  });

  describe('a name that is none of ours', () => {
    const named = (name: string, ...inFile: string[]) => {
      try {
        loadConfig({ [name]: 'canary' }, inFile);
      } catch (error) {
        return (error as ConfigError).problems;
      }
      return [];
    };
    const both = (name: string) => [named(name), named(name, name)];

    it.each([
      ['HOST_WEBHOOK_URLL', 'HOST_WEBHOOK_URL'],
      ['PREFECT_API_TIMOUT', 'PREFECT_API_TIMEOUT'],
      ['PREFECT_PROXY_APIPORT', 'PREFECT_PROXY_API_PORT'],
      ['RECONCILE_INTERVALL', 'RECONCILE_INTERVAL'],
      ['SYNC_RUN_TIMEOUTS', 'SYNC_RUN_TIMEOUT'],
      ['PROXY_API_KEYS', 'PROXY_API_KEY'],
    ])('%s stops, wherever it is set: did you mean %s?', (name, meant) => {
      for (const problems of both(name))
        expect(problems).toEqual([`${name}: there is no such variable; did you mean ${meant}?`]);
    });

    it.each([
      ['LOG_DIR', 'LOGDIR'],
      ['LOGLEVEL', 'LOG_LEVEL'],
      ['log_level', 'LOG_LEVEL'],
      ['MAX_BODY_BYTE', 'MAX_BODY_BYTES'],
      ['ALLOW_UNAUTENTICATED', 'ALLOW_UNAUTHENTICATED'],
      ['WEB_CONCURENCY', 'WEB_CONCURRENCY'],
    ])('%s stops in .env only, where it was meant for us', (name, meant) => {
      const [elsewhere, inFile] = both(name);
      expect(elsewhere).toEqual([]);
      expect(inFile).toEqual([`${name}: there is no such variable; did you mean ${meant}?`]);
    });

    it.each(['HOST_WEBHOOK_COLOUR', 'WEBHOOK_SECRET', 'PROXY_API_URL', 'RECONCILE_MODE'])(
      '%s stops in .env, and is a doubt elsewhere: the environment is shared',
      (name) => {
        expect(both(name)).toEqual([[], [`${name}: there is no such variable`]]);
        expect(doubtsOf(loadConfig({ [name]: 'canary' }))).toEqual([
          `${name}: no variable of this service; it is ignored`,
        ]);
      },
    );

    it.each([
      // Prefect's own, those of the compose files, of hosts, of libraries, of a shell.
      'PREFECT_API_DATABASE_CONNECTION_URL',
      'PREFECT_API_ENABLE_HTTP2',
      'PREFECT_API_REQUEST_TIMEOUT',
      'PREFECT_CLIENT_MAX_RETRIES',
      'PREFECT_HOME',
      'PREFECT_LOGGING_LEVEL',
      'PREFECT_SERVER_API_AUTH_STRING',
      'PREFECT_SERVER_API_HOST',
      'PREFECT_SERVER_API_PORT',
      'PREFECT_UI_API_URL',
      'PREFECT_UI_URL',
      'PREFECT_WORKER_QUERY_SECONDS',
      'PREFECT_PROXY_API_URL',
      'DB_CONNECTION_URL',
      'POSTGRES_PASSWORD',
      'BUILD_DATE',
      'HOT_RELOAD',
      'FLOW_RUN_LIMIT',
      'PUBLISH_ADDRESS',
      'OTEL_SERVICE_NAME',
      'SENTRY_ENVIRONMENT',
      'NODE_OPTIONS',
      'PYTHONPATH',
      'LOGNAME',
    ])('%s passes, wherever it is set', (name) => {
      expect(both(name)).toEqual([[], []]);
    });

    it.each(['PREFECT_PROXY_SERVICE_HOST', 'PREFECT_PROXY_PORT_8080_TCP_ADDR', 'WEBHOOK_PORT'])(
      '%s passes: Kubernetes names services so',
      (name) => {
        expect(named(name)).toEqual([]);
      },
    );

    it('is told beside what else is wrong', () => {
      const problems = problemsOf({
        HOST_WEBHOOK_URLL: 'x',
        LOG_LEVEL: 'canary',
        PREFECT_PROXY_API_HOST: '::',
      });
      expect(problems).toHaveLength(3);
    });
  });

  it("a port is not what Kubernetes says of another service's", () => {
    const env = { PREFECT_SERVER_PORT: 'tcp://10.0.0.1:4200' };
    expect(loadConfig(env).PREFECT_SERVER_PORT).toBe(4200);
    expect(problemsOf({ PREFECT_SERVER_PORT: 'canary' })).toHaveLength(1);
  });

  it('the orchestrator is not where the facade listens', () => {
    const env = { PREFECT_API_URL: 'http://127.0.0.1:8080/api' };
    expect(problemsOf(env)).toEqual([expect.stringContaining('PREFECT_API_URL')]);
    expect(problemsOf({ ...env, PREFECT_PROXY_API_PORT: '8081' })).toEqual([]);
  });

  it('what can be but is hardly meant is a doubt', () => {
    const doubts = (env: Record<string, string>) => doubtsOf(loadConfig(env));
    expect(doubts({})).toEqual([]);
    expect(doubts({ HOST_WEBHOOK_KEY: 'x', HOST_WEBHOOK_URL: 'http://host/' })).toEqual([]);
    expect(doubts({ HOST_WEBHOOK_KEY: 'x' })).toEqual([expect.stringContaining('HOST_WEBHOOK_URL')]);
    expect(doubts({ PREFECT_PROXY_API_HOST: '::', ALLOW_UNAUTHENTICATED: 'true' })).toEqual([
      expect.stringContaining('no key'),
    ]);
  });

  describe('on an address that others can reach', () => {
    const KEY = 'sixteen-letters!';
    it.each(['0.0.0.0', '::', '10.0.0.7', '128.0.0.1', 'proxy.internal', '127.0.0.1.example.com', '[::1]'])(
      '%s: needs a key, or the word that it is meant',
      (host) => {
        const at = { PREFECT_PROXY_API_HOST: host };
        expect(problemsOf(at)).toEqual([
          expect.stringMatching(/PREFECT_PROXY_API_HOST.*PROXY_API_KEY.*ALLOW_UNAUTHENTICATED=true/),
        ]);
        expect(problemsOf({ ...at, ALLOW_UNAUTHENTICATED: 'false' })).toHaveLength(1);
        expect(problemsOf({ ...at, PROXY_API_KEY: ' , ' })).toHaveLength(1);
        expect(problemsOf({ ...at, PROXY_API_KEY: KEY })).toEqual([]);
        expect(problemsOf({ ...at, ALLOW_UNAUTHENTICATED: 'true' })).toEqual([]);
      },
    );

    it.each([
      '127.0.0.1',
      '127.8.9.10',
      '::1',
      '0:0:0:0:0:0:0:1',
      'localhost',
      'LOCALHOST',
      'unix:/run/x.sock',
    ])('%s is none', (host) => {
      expect(problemsOf({ PREFECT_PROXY_API_HOST: host })).toEqual([]);
    });

    it('is told beside all other problems, but not where the key itself is wrong', () => {
      const open = { PREFECT_PROXY_API_HOST: '0.0.0.0', LOG_LEVEL: 'canary' };
      expect(problemsOf(open)).toHaveLength(2);
      expect(problemsOf({ ...open, PROXY_API_KEY: 'canary' }).map((line) => line.split(':')[0])).toEqual([
        'PROXY_API_KEY',
        'LOG_LEVEL',
      ]);
    });
  });

  it('takes origins and hosts as browsers write them', () => {
    const config = loadConfig({
      PROXY_ALLOWED_ORIGINS: 'HTTPS://Ui.Example.com:443, http://localhost:3000,, Tauri://Localhost',
      PROXY_ALLOWED_HOSTS: 'Facade, *.Internal, 10.0.0.7, FD00::1, a_b.example, *',
    });
    expect(config.PROXY_ALLOWED_ORIGINS).toEqual([
      'https://ui.example.com',
      'http://localhost:3000',
      'tauri://localhost',
    ]);
    expect(config.PROXY_ALLOWED_HOSTS).toEqual([
      'facade',
      '*.internal',
      '10.0.0.7',
      'fd00::1',
      'a_b.example',
      '*',
    ]);
  });

  it.each(['fifteen-letters', `${'x'.repeat(16)},short`, 'sixteen letters!', 'sechzehn-ßeichen'])(
    'PROXY_API_KEY=%s is refused',
    (key) => {
      const [problem, ...more] = problemsOf({ PROXY_API_KEY: key });
      expect(problem).toMatch(/^PROXY_API_KEY: .*16/);
      expect(problem).not.toContain(key);
      expect(more).toEqual([]);
    },
  );

  it('takes spaces around values, and slashes after the URL', () => {
    const config = loadConfig({
      PREFECT_API_URL: ' http://127.0.0.1:4200/api// ',
      PREFECT_API_KEY: ' key\n',
      PREFECT_PROXY_API_PORT: ' 80 ',
    });
    expect(config.PREFECT_API_URL).toBe('http://127.0.0.1:4200/api');
    expect(config.PREFECT_API_KEY).toBe('key');
    expect(config.PREFECT_PROXY_API_PORT).toBe(80);
  });

  it.skipIf(!existsSync(file('.env.template')))('reads exactly the variables of .env.template', () => {
    const names = (text: string, line: RegExp) => [...text.matchAll(line)].map(([, name]) => name!);
    const template = names(readFileSync(file('.env.template'), 'utf8'), /^#? ?([A-Z][A-Z0-9_]+)=/gm);
    const read = names(readFileSync(file('src/config.ts'), 'utf8'), /^ {2}([A-Z][A-Z0-9_]+):/gm);
    expect(read.length).toBeGreaterThan(20);
    expect([...new Set(template)].sort()).toEqual([...read].sort());
    expect(new Set(template).size).toBe(template.length);
  });

  it('has the defaults that .env.template shows', () => {
    const lines = readFileSync(file('.env.template'), 'utf8').matchAll(/^# ([A-Z][A-Z0-9_]+)=(.*)$/gm);
    const config: Record<string, unknown> = { ...loadConfig({}) };
    for (const [, name = '', shown = ''] of lines) {
      // An example, and what depends on the place.
      if (['PREFECT_API_URL', 'FLOWS_PATH'].includes(name)) continue;
      const read: Record<string, unknown> = { ...loadConfig({ [name]: shown }) };
      expect([name, read[name]]).toEqual([name, config[name]]);
      if (shown === '') expect([name, config[name] ?? []]).toEqual([name, []]);
    }
  });
});
