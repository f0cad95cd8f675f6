import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findPython } from '../../src/process/local/find-python.js';
import { answers, script, tempDir } from './fixtures.js';

describe('finding Python', () => {
  test('takes the first that is new enough', async () => {
    const bin = tempDir();
    script(join(bin, 'python3'), answers('3.9.18', 'venv', '/opt/python3.9'));
    script(join(bin, 'python3.11'), answers('3.11.7', 'venv', '/opt/python 3.11'));
    expect(await findPython({ PATH: bin })).toEqual({ version: '3.11.7', path: '/opt/python 3.11' });
  });

  test('passes by a shim that only says what is missing', async () => {
    const bin = tempDir();
    script(join(bin, 'python3'), 'echo "python3: command not found" >&2; exit 127');
    script(join(bin, 'python'), answers('3.10.0', 'venv', '/opt/python'));
    expect((await findPython({ PATH: bin })).version).toBe('3.10.0');
  });

  test('no Python: says what is needed and the other way', async () => {
    await expect(findPython({ PATH: tempDir() })).rejects.toThrow(
      /needs Python 3\.10 to 3\.14, and no python3 runs here[^]*Install Python[^]*PREFECT_API_URL/,
    );
  });

  test('too old and too new: names them', async () => {
    const bin = tempDir();
    script(join(bin, 'python3'), answers('3.8.2', 'venv', '/opt/a'));
    script(join(bin, 'python'), answers('2.7.18', 'venv', '/opt/b'));
    script(join(bin, 'python3.12'), answers('3.15.0', 'venv', '/opt/c'));
    await expect(findPython({ PATH: bin })).rejects.toThrow(
      /python3 is 3\.8\.2, python3\.12 is 3\.15\.0, python is 2\.7\.18/,
    );
  });

  test('without venv: another Python is taken, else the package to install is named', async () => {
    const bin = tempDir();
    script(join(bin, 'python3'), answers('3.11.2', 'bare', '/usr/bin/python3'));
    await expect(findPython({ PATH: bin })).rejects.toThrow(
      /lacks the venv module[^]*apt install python3\.11-venv[^]*PREFECT_API_URL/,
    );
    script(join(bin, 'python3.12'), answers('3.12.0', 'venv', '/opt/python3.12'));
    expect((await findPython({ PATH: bin })).path).toBe('/opt/python3.12');
  });

  test('a Python that is asked for is the only one tried', async () => {
    const bin = tempDir();
    script(join(bin, 'python3'), answers('3.11.2', 'venv', '/usr/bin/python3'));
    await expect(findPython({ PATH: bin }, 'python3.13')).rejects.toThrow(/no python3\.13 runs here/);
  });
});
