import type { z } from '@hono/zod-openapi';
import type { ValidationDetail } from '../errors.js';
import { isObject } from '../schemas/lax.js';
import type { Problem } from '../schemas/problem.js';
import { shown, shownShape } from './shown-input.js';

/** Details of one reply at most. */
const MAX_DETAILS = 20;

/** The first problems of a request (`{path, query, body}`), in FastAPI's shape. */
export function validationDetails(given: unknown, error: z.ZodError): ValidationDetail[] {
  return error.issues.slice(0, MAX_DETAILS).map((issue) => {
    const loc = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
    const input = valueAt(given, loc);
    const { type, msg } = problemOf(issue, loc, input);
    return { type, loc, msg, input: loc[0] === 'body' ? bodyInput(given, loc, type) : shown(input) };
  });
}

function problemOf(issue: z.core.$ZodIssue, loc: (string | number)[], input: unknown): Problem {
  const isMissing = input === undefined || (input === null && loc.length === 1);
  if (isMissing) return { type: 'missing', msg: 'Field required' };
  if (issue.code === 'custom' && typeof issue.params?.['type'] === 'string') {
    return { type: issue.params['type'], msg: issue.message };
  }
  if (issue.code === 'invalid_type' && issue.expected === 'array')
    return { type: 'list_type', msg: 'Input should be a valid list' };
  if (issue.code === 'invalid_type' && issue.expected === 'object') {
    return {
      type: 'model_attributes_type',
      msg: 'Input should be a valid dictionary or object to extract fields from',
    };
  }
  return { type: 'literal_error', msg: issue.message };
}

function valueAt(given: unknown, steps: (string | number)[]): unknown {
  return steps.reduce<unknown>((value, step) => {
    if (Array.isArray(value)) return value[Number(step)];
    return isObject(value) && Object.hasOwn(value, step) ? value[step] : undefined;
  }, given);
}

const SECRET = /secret|password|token|api_?key|cred|env|param|extra|data|value/i;

/**
 * FastAPI repeats the input (for a missing field: the object it is missing in), and hosts log error bodies. So of an
 * object only its shape is shown, and of a value that may be a secret nothing.
 */
function bodyInput(given: unknown, loc: (string | number)[], type: string): unknown {
  const isWhole = loc.length === 1;
  const value = valueAt(given, type === 'missing' && !isWhole ? loc.slice(0, -1) : loc);
  if (value === undefined || value === null) return null;
  const mayBeSecret = isWhole || loc.some((step) => SECRET.test(String(step)));
  return typeof value === 'object' || mayBeSecret ? shownShape(value) : shown(value);
}
