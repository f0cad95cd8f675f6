import { execFileSync, spawnSync, type StdioOptions } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { freePort } from '../../bench/lib/servers.js';

const DEBIAN = '/usr/lib/postgresql';
const USER = 'postgres';

/** @returns the folder of PostgreSQL's programs (on the PATH, or where Debian keeps them), if there is one */
export function findPostgres(): string | undefined {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...versions.map((version) => join(DEBIAN, version, 'bin')),
  ];
  const initdb = folders.map((folder) => join(folder, 'initdb')).find((file) => existsSync(file));
  // A link on the PATH may stand there without the other programs.
  return initdb && dirname(realpathSync(initdb));
}

/** A temporary PostgreSQL cluster on loopback. It is gone after `stop`, or when this process ends, however it ends. */
export class Postgres {
  private readonly password = randomBytes(16).toString('hex');
  private readonly data: string;
  /** It refuses to run as root. */
  private readonly owner = process.getuid?.() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : {};
  private databases = 0;

  private constructor(
    private readonly programs: string,
    private readonly folder: string,
    private readonly port: number,
  ) {
    this.data = join(folder, 'data');
  }

  /**
   * @param programs the folder of PostgreSQL's programs
   * @throws Error with the end of its log where it does not come up
   */
  static async start(programs: string): Promise<Postgres> {
    const folder = mkdtempSync(join(tmpdir(), 'prefect-proxy-postgres-'));
    const postgres = new Postgres(programs, folder, await freePort());
    process.once('exit', postgres.stop);
    postgres.start();
    return postgres;
  }

  /** Makes an empty database. @returns its address for Prefect */
  createDatabase(): string {
    this.databases += 1;
    const name = `prefect_${this.databases}`;
    this.run('createdb', ['-h', '127.0.0.1', '-p', String(this.port), '-U', USER, name]);
    return `postgresql+asyncpg://${USER}:${this.password}@127.0.0.1:${this.port}/${name}`;
  }

  /** What a statement gives in a database of it, as `psql` writes it without titles. */
  query(database: URL, statement: string): string {
    const args = ['-XAtq', '-h', '127.0.0.1', '-p', String(this.port), '-U', USER];
    return this.run('psql', [...args, '-c', statement, database.pathname.slice(1)]).trimEnd();
  }

  private start(): void {
    const { folder, data, owner } = this;
    const passwordFile = join(folder, 'password');
    writeFileSync(passwordFile, this.password, { mode: 0o600 });
    if (owner.uid !== undefined)
      for (const path of [folder, passwordFile]) chownSync(path, owner.uid, owner.gid);
    const access = ['-A', 'scram-sha-256', `--pwfile=${passwordFile}`];
    this.run('initdb', ['-D', data, '-U', USER, '-E', 'UTF8', '--no-locale', '--no-sync', ...access]);
    // Nobody pulls this machine's plug: what is committed need not reach the disk, and the disk's speed is not in the numbers.
    const settings = {
      port: this.port,
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      fsync: 'off',
    };
    const options = Object.entries(settings).map(([name, value]) => `-c ${name}='${value}'`);
    const log = join(folder, 'log');
    try {
      this.run('pg_ctl', ['start', '-w', '-s', '-D', data, '-l', log, '-o', options.join(' ')]);
    } catch (error) {
      const lines = existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n').slice(-15) : [];
      throw new Error(`PostgreSQL does not start. Its log:\n${lines.join('\n')}`, { cause: error });
    }
  }

  /** Ends it and removes its files. Not by SIGKILL, after which its shared memory would stay. */
  readonly stop = (): void => {
    process.off('exit', this.stop);
    const stop = ['stop', '-w', '-s', '-m', 'immediate', '-D', this.data];
    if (existsSync(join(this.data, 'postmaster.pid')))
      spawnSync(join(this.programs, 'pg_ctl'), stop, this.owner);
    rmSync(this.folder, { recursive: true, force: true });
  };

  private run(program: string, args: string[]): string {
    // The server keeps what pg_ctl hands on: it would hold a pipe open.
    const stdio: StdioOptions = program === 'pg_ctl' ? 'ignore' : 'pipe';
    const env = { PATH: process.env['PATH'] ?? '', PGPASSWORD: this.password };
    const output = execFileSync(join(this.programs, program), args, { ...this.owner, cwd: '/', env, stdio });
    return String(output);
  }
}

function idOf(option: '-u' | '-g'): number {
  return Number(execFileSync('id', [option, 'nobody'], { encoding: 'utf8' }));
}
