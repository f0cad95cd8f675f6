/** @returns NaN for none */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}

/** Each pair is one round: what disturbs the machine disturbs both sides of it. */
export function medianRatio(above: number[], below: number[]): number {
  return median(above.map((value, index) => value / (below[index] ?? NaN)));
}

/** `0.78-0.91` */
export function range(values: number[], digits = 2): string {
  return [Math.min(...values), Math.max(...values)].map((value) => value.toFixed(digits)).join('-');
}
