import { build } from 'esbuild';
import { beforeAll, describe, expect, it } from 'vitest';

/** What is loaded at the start of `serve`: all that leads there by import statements, as the bundler sees it. */
describe('What nobody has switched on is not loaded', () => {
  let outputs: Awaited<ReturnType<typeof bundle>>;
  beforeAll(async () => {
    outputs = await bundle();
  });

  it.each(['src/cli.ts', 'src/process/run.ts', 'src/process/worker.ts', 'src/serve.ts', 'src/settle.ts'])(
    'by %s',
    (entry) => {
      const loaded = packagesOf(entry);
      expect(loaded.filter((name) => /^@(sentry|opentelemetry)\//.test(name))).toEqual([]);
      if (entry === 'src/serve.ts') expect(loaded).toContain('undici');
    },
  );

  it('and is there where it is switched on', () => {
    const all = Object.values(outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
    expect(all).toEqual(
      expect.arrayContaining(['@sentry/node', '@sentry/profiling-node', '@opentelemetry/sdk-trace-base']),
    );
  });

  function packagesOf(entry: string): string[] {
    const start = Object.keys(outputs).find((file) => outputs[file]?.entryPoint === entry);
    const seen = new Set<string>();
    const packages = new Set<string>();
    const visit = (file: string) => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const { path, kind, external } of outputs[file]?.imports ?? []) {
        if (kind !== 'import-statement') continue;
        if (external) packages.add(path);
        else visit(path);
      }
    };
    if (start === undefined) throw new Error(`${entry} is nowhere an entry`);
    visit(start);
    return [...packages];
  }
});

/** As `npm run build` bundles; the modules that matter are entries of their own, so that each can be asked for. */
async function bundle() {
  const { metafile } = await build({
    entryPoints: ['cli', 'process/run', 'process/worker', 'serve', 'settle'].map((name) => `src/${name}.ts`),
    bundle: true,
    splitting: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    outdir: 'dist',
    write: false,
    metafile: true,
  });
  return metafile.outputs;
}
