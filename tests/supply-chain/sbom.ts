import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { z } from 'zod';

/**
 * `npm run sbom`: writes `sbom.cdx.json`, what an installation brings. `npm sbom --omit=dev` leaves out what production
 * shares with a tool of development (commander, say): so all is asked for, and development is left out here.
 */
const component = z.looseObject({
  'bom-ref': z.string(),
  properties: z.array(z.object({ name: z.string(), value: z.string() })),
});
const bom = z.looseObject({
  metadata: z.looseObject({ component: z.looseObject({ name: z.string() }) }),
  components: z.array(component),
  dependencies: z.array(z.looseObject({ ref: z.string(), dependsOn: z.array(z.string()) })),
});

const args = ['sbom', '--package-lock-only', '--sbom-type=application', '--sbom-format=cyclonedx'];
const whole = bom.parse(
  JSON.parse(execFileSync('npm', args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })),
);
const components = whole.components.filter(
  ({ properties }) => !properties.some(({ name }) => name === 'cdx:npm:package:development'),
);
const left = new Set(components.map((one) => one['bom-ref']));
const { component: root } = whole.metadata;
const dependencies = whole.dependencies
  .filter(({ ref }) => left.has(ref) || ref === root['bom-ref'])
  .map((one) => ({ ...one, dependsOn: one.dependsOn.filter((ref) => left.has(ref)) }));
// npm takes the folder's name.
const metadata = { ...whole.metadata, component: { ...root, name: 'prefect-proxy' } };
writeFileSync(
  'sbom.cdx.json',
  `${JSON.stringify({ ...whole, metadata, components, dependencies }, null, 2)}\n`,
);
