import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Children } from './children.js';

export const say = (line: string) => void process.stderr.write(`${line}\n`);

/** The processes of a bench that ends, with all of them, when it takes longer than `limitMs`. */
export function limitedChildren(limitMs: number): Children {
  const children = new Children(mkdtempSync(join(tmpdir(), 'prefect-proxy-bench-')));
  setTimeout(() => {
    say(`The bench took longer than ${limitMs / 1000} s: given up.`);
    process.exit(1);
  }, limitMs).unref();
  return children;
}
