import { LosslessNumber } from 'lossless-json';
import { type Obj, isObj, pythonRepr } from './json.js';

/** What the server says of parameters that break their schema, or nothing. Types and `required` only. */
export function schemaTrouble(parameters: Obj, schema: Obj, ignoreRequired = false): string | undefined {
  const required: unknown[] = ignoreRequired || !Array.isArray(schema['required']) ? [] : schema['required'];
  const absent = required.find((key) => !(String(key) in parameters));
  if (absent !== undefined) {
    return `Validation failed. Failure reason: ${pythonRepr(absent)} is a required property`;
  }
  const properties = isObj(schema['properties']) ? schema['properties'] : {};
  for (const [key, rule] of Object.entries(properties)) {
    const value = parameters[key];
    if (value === undefined || !isObj(rule) || typeof rule['type'] !== 'string') continue;
    if (isType(value, rule['type'])) continue;
    const reason = `${pythonRepr(value)} is not of type ${pythonRepr(rule['type'])}`;
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
