import type { z } from '@hono/zod-openapi';
import type { ValidationDetail } from '../errors.js';
import { isObject, type Problem } from '../schemas/lax.js';

/** The problems of a request (`{path, query, body}`), in FastAPI's shape. */
export function validationDetails(given: unknown, error: z.ZodError): ValidationDetail[] {
  return error.issues.map((issue) => {
    const loc = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
    const input = valueAt(given, loc);
    const { type, msg } = problemOf(issue, loc, input);
    const shown = type === 'missing' && loc.length > 1 ? valueAt(given, loc.slice(0, -1)) : input;
    return { type, loc, msg, input: withoutSecrets(shown, loc) };
  });
}

function problemOf(issue: z.core.$ZodIssue, loc: (string | number)[], input: unknown): Problem {
  if (issue.code === 'custom' && typeof issue.params?.['type'] === 'string') {
    return { type: issue.params['type'], msg: issue.message };
  }
  if (input === undefined || (input === null && loc.length === 1))
    return { type: 'missing', msg: 'Field required' };
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

const SECRET = /secret|password|token|api_?key|cred|env|params|extra/i;
const MASK = '**********';

/** FastAPI repeats the input, and hosts log error bodies: what may hold a secret is masked. */
function withoutSecrets(value: unknown, loc: (string | number)[]): unknown {
  if (value === undefined || value === null) return null;
  if (!isObject(value)) return loc.some((step) => SECRET.test(String(step))) ? MASK : value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, SECRET.test(key) ? MASK : inner]),
  );
}
