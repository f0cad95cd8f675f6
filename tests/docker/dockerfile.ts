import { readFileSync } from 'node:fs';

export interface Instruction {
  /** In capitals. */
  name: string;
  text: string;
}

export interface Stage {
  name: string;
  base: string;
  instructions: Instruction[];
}

export interface Dockerfile {
  stages: Stage[];
  /** ARGs before the first FROM: their defaults. */
  args: Record<string, string>;
}

/** Reads a Dockerfile as far as ours go: no here-documents, no escapes beside the `\` at the end of a line. */
export function readDockerfile(file: string): Dockerfile {
  const text = readFileSync(file, 'utf8')
    .replace(/^\s*#.*\n/gm, '')
    .replace(/\\\n\s*/g, ' ');
  const stages: Stage[] = [];
  const args: Record<string, string> = {};
  for (const line of text.split('\n').filter((line) => line.trim() !== '')) {
    const [, name = '', rest = ''] = /^\s*([A-Za-z]+)\s+(.*)$/.exec(line) ?? [];
    const stage = stages.at(-1);
    if (name === 'FROM') {
      const [, base = '', as = ''] = /^(\S+) AS (\S+)$/.exec(rest) ?? [];
      stages.push({
        name: as,
        base: base.replace(/\$\{(\w+)\}/g, (_, arg: string) => args[arg] ?? ''),
        instructions: [],
      });
    } else if (stage) {
      stage.instructions.push({ name, text: rest.trim() });
    } else if (name === 'ARG') {
      const [arg = '', value = ''] = rest.split('=');
      args[arg] = value;
    } else {
      throw new Error(`${file}: ${name} before FROM`);
    }
  }
  return { stages, args };
}

/** `A=1 B="2 3"` */
export function pairs(text: string): Record<string, string> {
  const found = [...text.matchAll(/([\w.]+)=("([^"]*)"|\S*)/g)];
  return Object.fromEntries(found.map(([, name = '', bare = '', quoted]) => [name, quoted ?? bare]));
}
