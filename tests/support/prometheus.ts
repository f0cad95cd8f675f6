/** The samples of a text in Prometheus' format. */
export class Samples {
  readonly names = new Set<string>();
  private readonly values = new Map<string, number>();

  /** @throws Error for a line that is not of the format */
  constructor(text: string) {
    for (const line of text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      const [, name, labels = '', value] = SAMPLE.exec(line) ?? [];
      if (name === undefined) throw new Error(`no sample: ${line}`);
      const key = keyOf(name, labels.split(/,(?=\w+=)/).filter(Boolean));
      if (this.values.has(key)) throw new Error(`twice: ${key}`);
      this.names.add(name);
      this.values.set(key, Number(value));
    }
  }

  /** The value of exactly these labels; undefined where there is none. */
  of(name: string, labels: Record<string, string | number> = {}): number | undefined {
    const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    return this.values.get(keyOf(name, pairs));
  }

  /** The value of a name with labels, as `ending` gives it; 0 where there is none. */
  at(key: string): number {
    return this.values.get(key) ?? 0;
  }

  /** All values whose name ends so, by name and labels. */
  ending(suffix: string): [string, number][] {
    return [...this.values].filter(([key]) => key.split('{')[0]!.endsWith(suffix));
  }
}

const SAMPLE = /^([a-z_:][\w:]*)(?:\{(.*)\})? (-?[\d.e+-]+|NaN|[+-]Inf)$/i;

function keyOf(name: string, pairs: string[]): string {
  return `${name}{${pairs.sort().join()}}`;
}
