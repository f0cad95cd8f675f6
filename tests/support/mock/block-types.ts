import { compare } from './flows.js';
import { Refusal, Reply, type Route, conflict, created, noContent, notFound, route } from './http.js';
import { type Obj, isObj, pythonDumps, sha256 } from './json.js';
import { ids, join, matchWord, names, operator } from './match.js';
import { limit, limitOf, offset } from './paging.js';
import { type BlockSchema, type BlockType, type State, find, row } from './state.js';
import { formatTime } from './time.js';
import { defaulted, dict, field, list, model, name, optional, params, text, uuid } from './validate.js';

const slug = field<string>((input, loc, problems) => {
  const before = problems.length;
  const value = text.parse(input, loc, problems);
  if (problems.length === before && !/^[a-z0-9-]+$/.test(value)) {
    const msg = 'Value error, Block type slug must only contain lowercase letters, numbers, and dashes.';
    problems.push({ type: 'value_error', loc, msg, input, ctx: { error: {} } });
  }
  return value;
});
const typeCreate = model({
  name,
  slug,
  logo_url: optional(text),
  documentation_url: optional(text),
  description: optional(text),
  code_example: optional(text),
});
const schemaCreate = model({
  fields: defaulted(dict, () => ({})),
  block_type_id: uuid,
  capabilities: defaulted(list(text), () => []),
  version: defaulted(text, () => 'non-versioned'),
});
const typeFilter = params({
  block_types: optional(model({ name: names, slug: optional(model({ any_: optional(list(text)) })) })),
  limit,
  offset,
});
const schemaFilter = params({
  block_schemas: optional(
    model({
      operator,
      block_type_id: ids,
      block_capabilities: optional(model({ all_: optional(list(text)) })),
      id: ids,
      version: optional(model({ any_: optional(list(text)) })),
    }),
  ),
  limit,
  offset,
});

export function typeView(type: BlockType): Obj {
  return {
    id: type.id,
    created: formatTime(type.created),
    updated: formatTime(type.updated),
    name: type.name,
    slug: type.slug,
    logo_url: type.logo,
    documentation_url: type.documentation,
    description: type.description,
    code_example: type.example,
    is_protected: type.protected,
  };
}

export function schemaView(state: State, schema: BlockSchema): Obj {
  const type = state.blockTypes.get(schema.typeId);
  return {
    id: schema.id,
    created: formatTime(schema.created),
    updated: formatTime(schema.updated),
    checksum: schema.checksum,
    fields: schema.fields,
    block_type_id: schema.typeId,
    block_type: type === undefined ? null : typeView(type),
    capabilities: schema.capabilities,
    version: schema.version,
  };
}

/** Over the fields without what they call secret, and without the definitions of other blocks. */
export function checksum(fields: Obj): string {
  const { definitions, ...rest } = withoutSecretFields(fields);
  const own = Object.entries(isObj(definitions) ? definitions : {}).filter(
    ([, value]) => isObj(value) && value['block_type_slug'] === undefined,
  );
  const whole = own.length === 0 ? rest : { ...rest, definitions: Object.fromEntries(own) };
  return `sha256:${sha256(pythonDumps([[whole], {}]))}`;
}

function withoutSecretFields(fields: Obj): Obj {
  const kept = Object.entries(fields).filter(([key]) => key !== 'secret_fields');
  return Object.fromEntries(
    kept.map(([key, value]) => [key, isObj(value) ? withoutSecretFields(value) : value]),
  );
}

export function addType(state: State, given: Omit<BlockType, 'id' | 'created' | 'updated'>): BlockType {
  const type = { ...row(), ...given };
  state.blockTypes.set(type.id, type);
  return type;
}

export function addSchema(
  state: State,
  given: Pick<BlockSchema, 'fields' | 'typeId' | 'capabilities' | 'version'>,
): BlockSchema {
  const { block_schema_references: references = {}, definitions, ...fields } = given.fields;
  const whole = { ...fields, block_schema_references: references };
  const schema: BlockSchema = {
    ...row(),
    ...given,
    checksum: checksum(given.fields),
    fields: definitions === undefined ? whole : { ...whole, definitions },
  };
  state.blockSchemas.set(schema.id, schema);
  return schema;
}

export function blockTypeRoutes(state: State): Route[] {
  const readType = (type: BlockType | undefined) => {
    if (type === undefined) throw notFound('Block type not found');
    return typeView(type);
  };
  const readSchema = (schema: BlockSchema | undefined) => {
    if (schema === undefined) throw notFound('Block schema not found');
    return schemaView(state, schema);
  };
  const bySum = (sum: string, version: string | null) => {
    const same = [...state.blockSchemas.values()].filter((item) => item.checksum === sum);
    return same.filter((item) => version === null || item.version === version).at(-1);
  };
  return [
    route('post', '/block_types/', async (call) => {
      const wanted = await call.read(typeCreate);
      if (wanted.name.toLowerCase().startsWith('prefect')) {
        throw new Refusal(403, { detail: "Block type names beginning with 'Prefect' are reserved." });
      }
      const same = (type: BlockType) => type.slug === wanted.slug;
      if (find(state.blockTypes, same) !== undefined) {
        throw conflict(`Block type with name "${wanted.name}" already exists`);
      }
      const { logo_url: logo, documentation_url: documentation, code_example: example, ...rest } = wanted;
      return created(typeView(addType(state, { ...rest, logo, documentation, example, protected: false })));
    }),
    route('post', '/block_types/filter', async (call) => {
      const wanted = await call.read(typeFilter);
      const most = limitOf(state, wanted.limit);
      const types = wanted.block_types;
      const found = [...state.blockTypes.values()]
        .filter(
          (type) =>
            types === null ||
            join('and_', matchWord(types.slug, type.slug), matchWord(types.name, type.name)),
        )
        .sort((a, b) => compare(a.name, b.name));
      return found.slice(wanted.offset, wanted.offset + most).map(typeView);
    }),
    route('get', '/block_types/:id', ({ params: { id = '' } }) => readType(state.blockTypes.get(id))),
    route('delete', '/block_types/:id', ({ params: { id = '' } }) => {
      const type = state.blockTypes.get(id);
      if (type === undefined) throw notFound('Block type not found');
      if (type.protected) throw new Refusal(403, { detail: 'protected block types cannot be deleted.' });
      state.blockTypes.delete(id);
      for (const schema of state.blockSchemas.values())
        if (schema.typeId === id) state.blockSchemas.delete(schema.id);
      for (const item of state.blockDocuments.values())
        if (item.typeId === id) state.blockDocuments.delete(item.id);
      return noContent();
    }),
    route('get', '/block_types/slug/:slug', ({ params }) =>
      readType(find(state.blockTypes, (type) => type.slug === params['slug'])),
    ),
    route('post', '/block_schemas/', async (call) => {
      const wanted = await call.read(schemaCreate);
      const { block_type_id: typeId, fields, capabilities, version } = wanted;
      if (!state.blockTypes.has(typeId)) throw notFound(`Block type ${typeId} not found.`);
      const existing = bySum(checksum(fields), version);
      if (existing !== undefined) return new Reply(200, schemaView(state, existing));
      return created(schemaView(state, addSchema(state, { fields, typeId, capabilities, version })));
    }),
    route('post', '/block_schemas/filter', async (call) => {
      const wanted = await call.read(schemaFilter);
      const most = limitOf(state, wanted.limit);
      const schemas = wanted.block_schemas;
      const capabilities = schemas?.block_capabilities?.all_ ?? null;
      const found = [...state.blockSchemas.values()].filter(
        (item) =>
          schemas === null ||
          join(
            schemas.operator,
            matchWord(schemas.block_type_id, item.typeId),
            matchWord(schemas.id, item.id),
            matchWord(schemas.version, item.version),
            capabilities === null
              ? undefined
              : capabilities.every((word) => item.capabilities.includes(word)),
          ),
      );
      found.sort((a, b) => b.created - a.created);
      return found.slice(wanted.offset, wanted.offset + most).map((item) => schemaView(state, item));
    }),
    route('get', '/block_schemas/:id', ({ params: { id = '' } }) => readSchema(state.blockSchemas.get(id))),
    route('get', '/block_schemas/checksum/:checksum', ({ params, query }) =>
      readSchema(bySum(params['checksum'] ?? '', query.get('version'))),
    ),
  ];
}
