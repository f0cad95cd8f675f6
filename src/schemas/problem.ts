import type { UnstorableReason } from '../lib/json-reader.js';

/** What is wrong with a value, in pydantic's words. */
export interface Problem {
  type: string;
  msg: string;
}

/** What is said of a text that cannot be stored. */
export const UNSTORABLE_TEXT: Record<UnstorableReason, Problem> = {
  nul: { type: 'value_error', msg: 'Value error, the character U+0000 cannot be stored' },
  surrogate: {
    type: 'string_unicode',
    msg: 'Input should be a valid string, unable to parse raw data as a unicode string: half of a surrogate pair',
  },
};
