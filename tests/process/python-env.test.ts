import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { uvSettings } from '../../src/process/local/install.js';
import { makeProgress } from '../../src/process/local/progress.js';
import { ensurePythonEnv } from '../../src/process/local/python-env.js';
import { fakePython, tempDir, type FakePython } from './fixtures.js';

function setUp(fake?: FakePython) {
  const root = tempDir();
  const lines: string[] = [];
  const python = fakePython(join(root, 'bin'), fake);
  const lockFile = join(root, 'lock');
  writeFileSync(lockFile, 'a==1 \\\n    --hash=sha256:00\nb==2 ; python_version < "3"\n');
  const make = () =>
    ensurePythonEnv({
      local: join(root, '.local'),
      lockFile,
      env: { PATH: join(root, 'bin') },
      progress: makeProgress((line) => lines.push(line)),
    });
  const made = () => (readFileSync(python.calls, 'utf8').match(/-m venv/g) ?? []).length;
  return { root, lockFile, lines, make, made };
}

describe('the Python environment', () => {
  test('is made once, and again for another lock file', async () => {
    const { make, made, lockFile } = setUp();
    const dir = await make();
    expect(await make()).toBe(dir);
    expect(made()).toBe(1);

    writeFileSync(lockFile, 'a==2\n');
    expect(await make()).not.toBe(dir);
    expect(existsSync(dir), 'the one of the old lock file is dropped').toBe(false);
  });

  test('is made anew where it is half made', async () => {
    const { make, made } = setUp();
    const dir = await make();
    rmSync(join(dir, '.complete'));
    writeFileSync(join(dir, 'rest'), '');
    expect(await make()).toBe(dir);
    expect(made()).toBe(2);
    expect(existsSync(join(dir, 'rest'))).toBe(false);
  });

  test('is made anew where the interpreter is gone', async () => {
    const { make, made } = setUp();
    rmSync(join(await make(), 'bin', 'python'));
    await make();
    expect(made()).toBe(2);
  });

  test('a failing install shows the end of what pip said, and is not taken for done', async () => {
    const { make, made } = setUp({
      pip: 'echo "ERROR: No matching distribution found for a==1" >&2; exit 1',
    });
    await expect(make()).rejects.toThrow(
      /could not be installed[^]*\| ERROR: No matching distribution[^]*PREFECT_API_URL/,
    );
    await expect(make()).rejects.toThrow();
    expect(made()).toBe(2);
  });

  test('tells how far pip is, of the packages for this platform', async () => {
    const pip = `echo "Ignoring b: markers 'python_version < \\"3\\"' don't match"; echo "Collecting a==1"`;
    const { make, lines } = setUp({ pip });
    await make();
    expect(lines).toContain('fetching Python packages: 1/1');
  });
});

test('progress: one line that changes on a terminal, a line at each quarter elsewhere', () => {
  const said: string[] = [];
  const sparse = makeProgress((line) => said.push(line));
  for (let done = 0; done <= 100; done += 1) sparse.count('packages', done, 100);
  expect(said).toEqual([0, 25, 50, 75, 100].map((done) => `packages: ${done}/100`));

  const updates: string[] = [];
  const terminal = makeProgress(
    () => expect.unreachable(),
    (line) => updates.push(line),
  );
  terminal.count('packages', 3, 100);
  expect(updates).toEqual(['packages: 3/100']);
});

describe("pip's settings for uv", () => {
  test('where to install from is taken over; the environment counts most', () => {
    const configured = [
      ":env:.index-url='https://env.example/simple'",
      "global.index-url='https://file.example/simple'",
      "global.extra-index-url='https://a.example https://b.example'",
      "install.find-links='/wheels'",
      "global.cert='/ca.pem'",
      "global.timeout='60'",
      '',
    ];
    expect(uvSettings(configured)).toEqual({
      UV_DEFAULT_INDEX: 'https://env.example/simple',
      UV_INDEX: 'https://a.example https://b.example',
      UV_FIND_LINKS: '/wheels',
      SSL_CERT_FILE: '/ca.pem',
    });
  });

  test('with a setting that uv cannot follow, pip does the work', () => {
    expect(uvSettings(["global.proxy='http://proxy.example:3128'"])).toBeUndefined();
    expect(uvSettings(['WARNING: something else'])).toBeUndefined();
  });
});
