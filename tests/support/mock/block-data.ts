import { Refusal, serverError } from './http.js';
import { type Obj, isObj } from './json.js';
import { type BlockDocument, type BlockSchema, type State } from './state.js';
import { normalUuid } from './validate.js';

const HIDDEN = '********';

export function secretFields(schema: BlockSchema | undefined): string[][] {
  const fields = schema?.fields['secret_fields'];
  return Array.isArray(fields) ? fields.map((field) => String(field).split('.')) : [];
}

type Change = (value: unknown, path: string[]) => unknown;

/** Changes the leaves of nested objects that a schema calls secret; `*` takes all below its prefix. */
function mapSecrets(data: Obj, fields: string[][], change: Change, path: string[] = []): Obj {
  const entries = Object.entries(data).map(([key, value]): [string, unknown] => {
    const here = [...path, key];
    if (fields.some((field) => isSecret(field, here))) return [key, change(value, here)];
    return [key, isObj(value) ? mapSecrets(value, fields, change, here) : value];
  });
  return Object.fromEntries(entries);
}

function isSecret(field: string[], path: string[]): boolean {
  const star = field.indexOf('*');
  if (star < 0) return field.join('.') === path.join('.');
  return path.length > star && field.slice(0, star).every((part, index) => part === path[index]);
}

export function hideSecrets(data: Obj, schema: BlockSchema | undefined): Obj {
  return mapSecrets(data, secretFields(schema), (value) => (value === null ? null : HIDDEN));
}

/** What somebody posts back hidden is kept as it was. */
export function keepHidden(data: Obj, current: Obj, schema: BlockSchema | undefined): Obj {
  return mapSecrets(data, secretFields(schema), (value, path) => {
    const before = path.reduce<unknown>((item, key) => (isObj(item) ? item[key] : undefined), current);
    return value === HIDDEN && before !== undefined ? before : value;
  });
}

/** References are kept apart: an update that does not name one again drops it. */
export function splitReferences(state: State, data: Obj): Pick<BlockDocument, 'data' | 'references'> {
  const plain: Obj = {};
  const references: Record<string, string> = {};
  for (const [key, value] of Object.entries(data)) {
    const ref = isObj(value) ? value['$ref'] : undefined;
    if (!isObj(ref)) {
      plain[key] = value;
      continue;
    }
    const id = ref['block_document_id'];
    if (typeof id === 'string') {
      references[key] = normalUuid(id) ?? id;
    } else if (state.old) {
      throw serverError();
    } else {
      const detail = `Received block reference without a block_document_id in key ${key}`;
      throw new Refusal(400, { detail });
    }
  }
  return { data: plain, references };
}
