import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { z } from 'zod';

/**
 * `contents.ts npm SBOM`, or `contents.ts python SBOM LOCK ENVIRONMENT`: the SBOM lists all that is installed in
 * production, by package-lock.json or by a Python lock. Tells the licences (of an environment, as an SBOM of it has
 * them), and fails at one that binds and is not known here.
 */
const KNOWN: Record<string, string> = {
  sentry: "Sentry's command line (FSL): comes with its SDK, is never called",
  certifi: 'MPL: used as it is',
  orjson: 'MPL: used as it is',
  pathspec: 'MPL: used as it is',
  psycopg: 'LGPL: a library, used as it is',
  'psycopg-binary': 'LGPL: a library, used as it is',
  'text-unidecode': 'Artistic License or GPL, as one likes',
};
const BINDS =
  /GPL|General Public|MPL|Mozilla|EPL|Eclipse|CDDL|EUPL|OSL|SSPL|BUSL|FSL|Elastic|CC-BY-(SA|NC)|^$/;

const licence = z.object({
  expression: z.string().optional(),
  license: z.object({ id: z.string().optional(), name: z.string().optional() }).optional(),
});
const bom = z.object({
  bomFormat: z.literal('CycloneDX'),
  components: z.array(
    z.object({ name: z.string(), version: z.string().optional(), licenses: z.array(licence).optional() }),
  ),
});
const npmLock = z.object({
  packages: z.record(
    z.string(),
    z.object({
      version: z.string().optional(),
      dev: z.boolean().optional(),
      license: z.string().optional(),
      link: z.boolean().optional(),
    }),
  ),
});

interface Package {
  name: string;
  version: string;
  licence?: string;
}
const problems: string[] = [];
const say = (line: string) => void process.stdout.write(`${line}\n`);
const readJson = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'));

function npmPackages(): Package[] {
  const { packages } = npmLock.parse(readJson('package-lock.json'));
  return (
    Object.entries(packages)
      // A link is to a folder of our own.
      .filter(([path, { dev, link }]) => path.startsWith('node_modules/') && !dev && !link)
      .map(([path, { version = '', license = '' }]) => {
        return { name: path.replace(/^.*node_modules\//, ''), version, licence: license };
      })
  );
}

function pythonPackages(lock: string): Package[] {
  return [...readFileSync(lock, 'utf8').matchAll(/^([\w.-]+)==(\S+)/gm)].map(
    ([, name = '', version = '']) => ({
      name,
      version,
    }),
  );
}

function compare(what: string, file: string, packages: Package[]): void {
  const listed = new Set(
    bom.parse(readJson(file)).components.map((one) => `${one.name}@${one.version ?? ''}`),
  );
  const missing = packages.map(({ name, version }) => `${name}@${version}`).filter((one) => !listed.has(one));
  say(`${basename(file)}: ${listed.size} components of ${what}`);
  if (missing.length > 0 || packages.length === 0) problems.push(`${file} lacks ${missing.join(', ')}`);
}

function tellLicences(what: string, packages: Package[]): void {
  const counts = new Map<string, number>();
  for (const { licence = '' } of packages) counts.set(licence, (counts.get(licence) ?? 0) + 1);
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  say(`licences of ${what}: ${sorted.map(([name, count]) => `${count} ${name || 'none'}`).join(', ')}`);
  for (const { name, licence = '' } of packages.filter((one) => BINDS.test(one.licence ?? ''))) {
    const why = KNOWN[name];
    if (why === undefined) problems.push(`${name}: is its licence harmless? (${licence || 'none'})`);
    else say(`  ${name}: ${why}`);
  }
}

/** The packages of an environment that the lock has too: there are also those that its tests need. */
function installed(environment: string, locked: Package[]): Package[] {
  const names = new Set(locked.map(({ name }) => plain(name)));
  return bom
    .parse(readJson(environment))
    .components.filter(({ name }) => names.has(plain(name)))
    .map(({ name, version = '', licenses = [] }) => {
      const texts = licenses.map((one) => one.expression ?? one.license?.id ?? one.license?.name ?? '');
      return {
        name: plain(name),
        version,
        licence: texts.join('; ').replaceAll('License :: OSI Approved :: ', ''),
      };
    });
}

/** Python takes these for one name. */
const plain = (name: string) => name.toLowerCase().replaceAll(/[-_.]+/g, '-');

function main([what, sbom = '', lock = '', environment = '']: string[]): void {
  const packages = what === 'npm' ? npmPackages() : pythonPackages(lock);
  compare(what === 'npm' ? 'package-lock.json' : lock, sbom, packages);
  if (what === 'npm') tellLicences('npm packages', packages);
  else tellLicences('Python packages', installed(environment, packages));
  for (const problem of problems) say(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
}

main(process.argv.slice(2));
