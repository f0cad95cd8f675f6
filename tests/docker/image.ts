import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { buildContext } from './context.js';
import { pairs, readDockerfile, type Stage } from './dockerfile.js';

const run = promisify(execFile);

/** What only the base image's root can do. This machine stands in for what it would bring. */
const ROOTS_BUSINESS = /^(apt-get|useradd) /;

/** What a Dockerfile makes, in a folder of this machine that stands for the image's root. */
export interface Image {
  root: string;
  workdir: string;
  env: Record<string, string>;
  user: string;
  /** With the paths of the image, as the next one. */
  cmd: string[];
  healthcheck: string[];
  labels: Record<string, string>;
  /** Its lines that were not run. */
  skipped: string[];
}

export interface BuildOptions {
  /** The project's root. */
  project: string;
  dockerfile: string;
  target: string;
  /** An empty folder. */
  folder: string;
  args?: Record<string, string>;
}

/**
 * Runs a Dockerfile's own lines, stage by stage, each in a folder that stands for its root. The stages that the target is
 * made from are removed, so that it must stand alone.
 * @throws Error with the output of a line that fails
 */
export async function buildImage(options: BuildOptions): Promise<Image> {
  const { stages } = readDockerfile(options.dockerfile);
  const context = buildContext(options.project, options.dockerfile);
  const roots = new Map<string, string>();
  const build = async (name: string): Promise<Image> => {
    const stage = stages.find((one) => one.name === name);
    if (!stage) throw new Error(`no stage ${name}`);
    // Only what is needed, as BuildKit does, and side by side.
    const needed = stage.instructions.flatMap(({ text }) => /^--from=(\S+)/.exec(text)?.[1] ?? []);
    await Promise.all([...new Set(needed)].filter((other) => !roots.has(other)).map(build));
    const root = join(options.folder, name);
    roots.set(name, root);
    return runStage(stage, root, roots, context, options);
  };
  const image = await build(options.target);
  for (const [name, root] of roots)
    if (name !== options.target) rmSync(root, { recursive: true, force: true });
  return image;
}

/** Paths of the image in a text, as they are on this machine. */
export function rebase(text: string, root: string): string {
  return text.replace(/(?<![\w./}-])\/(app|opt|data|tmp)(?![\w-])/g, `${root}/$1`);
}

async function runStage(
  stage: Stage,
  root: string,
  roots: ReadonlyMap<string, string>,
  context: string[],
  { project, args = {} }: BuildOptions,
): Promise<Image> {
  for (const folder of ['app', 'opt', 'tmp']) mkdirSync(join(root, folder), { recursive: true });
  const image: Image = {
    root,
    workdir: root,
    env: {},
    user: '',
    cmd: [],
    healthcheck: [],
    labels: {},
    skipped: [],
  };
  for (const { name, text } of stage.instructions) {
    if (name === 'WORKDIR') mkdirSync((image.workdir = join(root, text)), { recursive: true });
    else if (name === 'ENV') Object.assign(image.env, pairs(rebase(text, root)));
    else if (name === 'USER') image.user = text;
    else if (name === 'CMD') image.cmd = JSON.parse(text) as string[];
    else if (name === 'HEALTHCHECK') image.healthcheck = JSON.parse(text.replace(/^.*?CMD /, '')) as string[];
    else if (name === 'LABEL')
      Object.assign(image.labels, pairs(text.replace(/\$\{(\w+)\}/g, (_, arg: string) => args[arg] ?? '')));
    else if (name === 'COPY') copy(text, image, roots, context, project);
    else if (name === 'RUN') await runLine(text, image);
    else if (name !== 'EXPOSE' && name !== 'ARG') throw new Error(`${name} is not understood`);
  }
  return image;
}

async function runLine(text: string, image: Image): Promise<void> {
  if (ROOTS_BUSINESS.test(text)) {
    image.skipped.push(text);
    return;
  }
  const env = {
    ...process.env,
    ...image.env,
    PATH: `${image.env['PATH'] ?? ''}:${process.env['PATH'] ?? ''}`,
  };
  await run('sh', ['-c', rebase(text, image.root)], { cwd: image.workdir, env, maxBuffer: 1e8 });
}

function copy(
  text: string,
  image: Image,
  roots: ReadonlyMap<string, string>,
  context: string[],
  project: string,
): void {
  const [, from, rest = ''] = /^(?:--from=(\S+) )?(.*)$/.exec(text) ?? [];
  const words = rest.split(/\s+/);
  const target = words.pop() ?? '';
  const base = target.startsWith('/') ? image.root : image.workdir;
  for (const source of words) {
    const to = resolve(base, `./${target}`, target.endsWith('/') ? (source.split('/').at(-1) ?? '') : '');
    if (from !== undefined) {
      const other = roots.get(from) ?? '';
      // Not copied: of the stage it comes from nothing is kept.
      mkdirSync(dirname(to), { recursive: true });
      renameSync(join(other, source), to);
      relocate(to, other, image.root);
      continue;
    }
    const files = context.filter((file) => file === source || file.startsWith(`${source}/`));
    if (files.length === 0) throw new Error(`COPY ${source}: the ignore file leaves nothing of it`);
    for (const file of files) {
      const place = join(to, file.slice(source.length));
      mkdirSync(dirname(place), { recursive: true });
      cpSync(join(project, file), place);
    }
  }
}

/** Programs of a Python environment name its folder, which in a real image is the same in both stages. */
function relocate(folder: string, from: string, to: string): void {
  const bin = join(folder, 'bin');
  const files = existsSync(bin) ? readdirSync(bin).map((name) => join(bin, name)) : [];
  for (const file of [...files, join(folder, 'pyvenv.cfg')]) {
    if (!existsSync(file) || !statSync(file).isFile() || statSync(file).size > 100_000) continue;
    const text = readFileSync(file, 'utf8');
    if (text.includes(from)) writeFileSync(file, text.replaceAll(from, to));
  }
}
