import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parse as parseDotenv } from 'dotenv';
import { parse } from 'yaml';
import { z } from 'zod';

const words = z.array(z.string());
const service = z.looseObject({
  image: z.string().optional(),
  build: z.looseObject({ dockerfile: z.string().optional(), target: z.string().optional() }).optional(),
  extends: z.object({ file: z.string(), service: z.string() }).optional(),
  environment: z.record(z.string(), z.string()).default({}),
  env_file: z.string().optional(),
  command: words.optional(),
  volumes: words.default([]),
  tmpfs: words.default([]),
  ports: words.default([]),
  read_only: z.boolean().optional(),
  init: z.boolean().optional(),
  cap_drop: words.optional(),
  security_opt: words.optional(),
  healthcheck: z.looseObject({ test: words }).optional(),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
  stop_grace_period: z.string().optional(),
  restart: z.string().optional(),
});
const composeFile = z.looseObject({ services: z.record(z.string(), service) });

export type Service = z.infer<typeof service>;

/** A compose file's text as data, with its merge keys resolved and nothing else. */
export function readYaml(file: string): unknown {
  return parse(readFileSync(file, 'utf8'), { merge: true });
}

/**
 * The services of a compose file: variables put in, `extends` followed.
 * @throws Error naming a variable that has to be set and is not
 */
export function loadCompose(file: string, env: Readonly<Record<string, string>>): Record<string, Service> {
  // In the values, not in the text: an empty variable is an empty string.
  const putIn = (_: unknown, value: unknown) => (typeof value === 'string' ? interpolate(value, env) : value);
  const { services } = composeFile.parse(parse(readFileSync(file, 'utf8'), putIn, { merge: true }));
  return Object.fromEntries(
    Object.entries(services).map(([name, own]) => {
      if (!own.extends) return [name, own];
      const base = loadCompose(join(dirname(file), own.extends.file), env)[own.extends.service];
      if (!base) throw new Error(`no service ${own.extends.service} in ${own.extends.file}`);
      return [name, extend(base, own)];
    }),
  );
}

/** The environment of a service's container, without that of its image. */
export function environmentOf({ env_file, environment }: Service, dotenv: string): Record<string, string> {
  return { ...(env_file === undefined ? {} : parseDotenv(dotenv)), ...environment };
}

/** Names and defaults of the variables that a compose file asks for. */
export function variablesOf(text: string): { name: string; default: string | undefined }[] {
  return [...text.matchAll(VARIABLE)].map(([, name = '', operator, word]) => ({
    name,
    default: operator === ':-' ? word : undefined,
  }));
}

const VARIABLE = /\$\{(\w+)(?:(:-|:\?)([^}]*))?\}/g;

function interpolate(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(VARIABLE, (_, name: string, operator: string | undefined, word: string | undefined) => {
    const value = env[name] ?? '';
    if (value === '' && operator === ':?') throw new Error(`${name}: ${word ?? ''}`);
    return value === '' && operator === ':-' ? (word ?? '') : value;
  });
}

function extend(base: Service, own: Service): Service {
  return {
    ...base,
    ...Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined)),
    build: { ...base.build, ...own.build },
    environment: { ...base.environment, ...own.environment },
    volumes: [...base.volumes, ...own.volumes],
    tmpfs: [...base.tmpfs, ...own.tmpfs],
    ports: [...base.ports, ...own.ports],
    depends_on: { ...base.depends_on, ...own.depends_on },
  };
}
