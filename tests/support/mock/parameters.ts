import { LosslessNumber } from 'lossless-json';
import { type Obj, isObj, pythonDumps, pythonRepr } from './json.js';
import { dict, field } from './validate.js';

const MOST = 512 * 1024;

/** Parameters as requests carry them. */
export const sized = field<Obj>((input, loc, problems) => {
  const value = dict.parse(input, loc, problems);
  const size = isObj(input) ? pythonDumps(value, true).length : 0;
  if (size <= MOST) return value;
  const [most, got] = [MOST, size].map((bytes) => bytes.toLocaleString('en-US'));
  const msg = `Value error, Flow run parameters must be less than ${most} bytes when serialized (got ${got} bytes).`;
  problems.push({ type: 'value_error', loc, msg, input, ctx: { error: {} } });
  return value;
});

/** What the creation of a deployment says: plain JSON schema, nothing is required. */
export function conformTrouble(body: Obj): string | undefined {
  const { parameters, parameter_openapi_schema: schema } = body;
  if (parameters === null || !isObj(schema)) return undefined;
  if (isObj(parameters)) return schemaTrouble(parameters, schema, true, false);
  if (schema['type'] !== 'object') return undefined;
  return `Validation failed. Failure reason: ${pythonRepr(parameters)} is not of type 'object'`;
}

/**
 * What the server says of parameters that break their schema, or nothing. Types and `required` only. Outside of the
 * creation, what is not required may be null.
 */
export function schemaTrouble(
  parameters: Obj,
  schema: Obj,
  ignoreRequired = false,
  nullable = true,
): string | undefined {
  const required: unknown[] = Array.isArray(schema['required']) ? schema['required'] : [];
  const absent = ignoreRequired ? undefined : required.find((key) => !(String(key) in parameters));
  if (absent !== undefined) {
    return `Validation failed. Failure reason: ${pythonRepr(absent)} is a required property`;
  }
  const properties = isObj(schema['properties']) ? schema['properties'] : {};
  for (const [key, rule] of Object.entries(properties)) {
    const value = parameters[key];
    if (value === undefined || !isObj(rule) || typeof rule['type'] !== 'string') continue;
    if (isType(value, rule['type'])) continue;
    const orNull = nullable && !required.includes(key);
    if (orNull && value === null) continue;
    const rules = orNull ? 'valid under any of the given schemas' : `of type ${pythonRepr(rule['type'])}`;
    const reason = `${pythonRepr(value)} is not ${rules}`;
    return `Validation failed for field ${pythonRepr(key)}. Failure reason: ${reason}`;
  }
  return undefined;
}

function isType(value: unknown, type: string): boolean {
  const number = typeof value === 'number' || value instanceof LosslessNumber;
  switch (type) {
    case 'object':
      return isObj(value);
    case 'array':
      return Array.isArray(value);
    case 'string':
    case 'boolean':
      return typeof value === type;
    case 'null':
      return value === null;
    case 'number':
      return number;
    case 'integer':
      return number && /^-?\d+(\.0*)?$/.test(String(value));
    default:
      return true;
  }
}
