import { z } from 'zod';
import { ExactNumber, parseJson, parsePlainJson } from '../json.js';
import { ShapeError } from './errors.js';

type Parser<T> = (text: string) => T;

/**
 * A parser that checks a reply against a schema and returns the orchestrator's own value, not zod's copy: keys that
 * the schema does not name stay, in their order. The schema must have no transforms.
 */
function checked<S extends z.ZodType>(schema: S, read: (text: string) => unknown): Parser<z.input<S>> {
  const matches = (value: unknown): value is z.input<S> => schema.safeParse(value).success;
  return (text) => {
    const value = read(text);
    if (!matches(value)) throw new ShapeError('unexpected shape');
    return value;
  };
}

/** For replies of which only known fields are used. */
export const plain = <S extends z.ZodType>(schema: S): Parser<z.input<S>> => checked(schema, parsePlainJson);

/** For replies of which a host's own values (parameters) are passed on: numbers stay as they were written. */
export const exact = <S extends z.ZodType>(schema: S): Parser<z.input<S>> => checked(schema, parseJson);

/** For replies without a body: Prefect's are a 204. An empty page of something in between is no success. */
export const nothing = (_text: string, status: number): undefined => {
  if (status !== 204) throw new ShapeError('not the 204 that belongs here');
  return undefined;
};

/** A number of a reply read by `exact`. */
export const anyNumber = z.union([z.number(), z.instanceof(ExactNumber)]);

/** A reply of which only the id is looked at. */
export const withId = plain(z.object({ id: z.string() }));

/** The reply of a `/count` route. */
export const rowCount = plain(z.number());
