import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { cleanedEnv, MARKER, prefectEnv } from '../../src/process/local/clean-env.js';
import { freePort } from '../../src/process/local-stack.js';

test('settings of another Prefect or Python and the keys of the facade stay outside', () => {
  const env = cleanedEnv(
    {
      PATH: '/usr/bin',
      HOME: '/home/user',
      PIP_INDEX_URL: 'https://pip.example',
      PREFECT_API_URL: 'https://elsewhere.example/api',
      PREFECT_PROFILE: 'work',
      PREFECT_NOTIFICATIONS_WEBHOOK_KEY: 'key',
      PYTHONPATH: '/other',
      PYTHONDONTWRITEBYTECODE: '1',
      VIRTUAL_ENV: '/venv',
      PROXY_API_KEY: 'key',
      HOST_WEBHOOK_SECRET: 'secret',
      WEB_CONCURRENCY: '2',
    },
    '/project/.local',
  );
  expect(env).toEqual({
    PATH: '/usr/bin',
    HOME: '/home/user',
    PIP_INDEX_URL: 'https://pip.example',
    DO_NOT_TRACK: '1',
    NO_COLOR: '1',
    [MARKER]: '/project/.local',
  });
});

test('Prefect gets its own home, and calls to loopback pass by a proxy', () => {
  const at = {
    home: '/project/.local/prefect',
    apiUrl: 'http://127.0.0.1:4200/api',
    bin: '/project/.local/bin',
  };
  expect(prefectEnv({ PATH: '/usr/bin', no_proxy: 'intranet.example' }, at)).toMatchObject({
    PATH: '/project/.local/bin:/usr/bin',
    PREFECT_HOME: at.home,
    PREFECT_API_URL: at.apiUrl,
    PREFECT_SERVER_ANALYTICS_ENABLED: 'false',
    // Its own page alone may read what it answers, by either name.
    PREFECT_SERVER_CORS_ALLOWED_ORIGINS: 'http://127.0.0.1:4200,http://localhost:4200',
    NO_PROXY: 'intranet.example,127.0.0.1,localhost',
    no_proxy: 'intranet.example,127.0.0.1,localhost',
  });
});

test('a port that is taken is passed by', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  expect(await freePort(port)).toBeGreaterThan(port);
});
