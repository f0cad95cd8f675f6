import { inflateSync } from 'node:zlib';

type Colour = [red: number, green: number, blue: number];

/** What is to be seen on a picture. */
export interface Pixels {
  /** How many different ones there are. */
  colours: number;
  /** The part of the picture that has not its most frequent colour. */
  drawn: number;
  /** The part of the picture that each of the wanted colours takes, near enough. */
  near: number[];
}

/** Looks at a screenshot. @param png of 8 bits a channel, not interlaced, as Chromium makes them */
export function pixelsOf(png: Buffer, wanted: Colour[]): Pixels {
  const { rows, channels } = decode(png);
  const counts = new Map<number, number>();
  for (const row of rows) {
    for (let at = 0; at < row.length; at += channels) {
      const colour = row.readUIntBE(at, 3);
      counts.set(colour, (counts.get(colour) ?? 0) + 1);
    }
  }
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const partNear = (colour: Colour) =>
    [...counts].reduce((sum, [one, count]) => (isNear(one, colour) ? sum + count : sum), 0) / all;
  return {
    colours: counts.size,
    drawn: 1 - Math.max(...counts.values()) / all,
    near: wanted.map(partNear),
  };
}

function isNear(one: number, [red, green, blue]: Colour): boolean {
  const channels: [number, number][] = [
    [one >> 16, red],
    [(one >> 8) & 255, green],
    [one & 255, blue],
  ];
  return channels.every(([is, wanted]) => Math.abs(is - wanted) < 8);
}

function decode(png: Buffer): { rows: Buffer[]; channels: number } {
  const width = png.readUInt32BE(16);
  // 2: red, green, blue; 6: with transparency.
  const channels = { 2: 3, 6: 4 }[png[25]!];
  if (png[24] !== 8 || !channels || png[28] !== 0) throw new Error('a kind of PNG that is not read here');
  const parts: Buffer[] = [];
  for (let at = 8; at < png.length; at += png.readUInt32BE(at) + 12) {
    const isData = png.toString('latin1', at + 4, at + 8) === 'IDAT';
    if (isData) parts.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  }
  const filtered = inflateSync(Buffer.concat(parts));
  const rows: Buffer[] = [];
  for (let at = 0; at < filtered.length; at += 1 + width * channels) {
    const row = filtered.subarray(at + 1, at + 1 + width * channels);
    unfilter(filtered[at]!, row, rows.at(-1) ?? Buffer.alloc(row.length), channels);
    rows.push(row);
  }
  return { rows, channels };
}

/** Undoes the filter of a row, in place: each byte stands as its difference from a guess by those before. */
function unfilter(filter: number, row: Buffer, above: Buffer, channels: number): void {
  for (let x = 0; x < row.length; x += 1) {
    const left = x < channels ? 0 : row[x - channels]!;
    const up = above[x]!;
    const corner = x < channels ? 0 : above[x - channels]!;
    const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter]!;
    row[x] = (row[x]! + guess) & 255;
  }
}

function paeth(left: number, up: number, corner: number): number {
  const estimate = left + up - corner;
  const [toLeft, toUp, toCorner] = [left, up, corner].map((one) => Math.abs(estimate - one));
  if (toLeft! <= toUp! && toLeft! <= toCorner!) return left;
  return toUp! <= toCorner! ? up : corner;
}
