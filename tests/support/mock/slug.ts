import { randomInt } from 'node:crypto';

const FIRST = [
  'phenomenal',
  'sticky',
  'clay',
  'cinnamon',
  'viridian',
  'humorous',
  'zealous',
  'frisky',
  'marble',
];
const SECOND = [
  'salamander',
  'hamster',
  'myna',
  'adder',
  'sambar',
  'wombat',
  'wasp',
  'hawk',
  'viper',
  'falcon',
];

/** The name of a run that was given none. */
export function slug(): string {
  return `${FIRST[randomInt(FIRST.length)] ?? ''}-${SECOND[randomInt(SECOND.length)] ?? ''}`;
}
