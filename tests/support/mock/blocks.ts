import {
  conflict,
  created,
  flag,
  integrity,
  noContent,
  notFound,
  Refusal,
  Reply,
  route,
  serverError,
  type Route,
} from './http.js';
import { hideSecrets, keepHidden, splitReferences } from './block-data.js';
import { schemaView, typeView } from './block-types.js';
import { ids, join, limit, limitOf, matchWord, names, offset, operator } from './filters.js';
import { compare } from './flows.js';
import { isObj, type Obj } from './json.js';
import { find, row, type BlockDocument, type State } from './state.js';
import { formatTime, nowMillis } from './time.js';
import {
  anything,
  bool,
  defaulted,
  dict,
  field,
  list,
  model,
  name,
  oneOf,
  optional,
  params,
  text,
  uuid,
} from './validate.js';

const documentName = field<string | null>((input, loc, problems) => {
  if (input === null) return null;
  const before = problems.length;
  const value = name.parse(input, loc, problems);
  if (problems.length === before && !/^[a-z0-9-]+$/.test(value)) {
    const msg = 'Value error, Block document name must only contain lowercase letters, numbers, and dashes.';
    problems.push({ type: 'value_error', loc, msg, input, ctx: { error: {} } });
  }
  return value;
});
const fields = model({
  name: { ...documentName, fallback: () => null },
  data: defaulted(dict, () => ({})),
  block_schema_id: uuid,
  block_type_id: uuid,
  is_anonymous: defaulted(bool, () => false),
});
/** Whether there is a name at all is looked at before anything else. */
const create = field((input, loc, problems): ReturnType<typeof fields.parse> => {
  const nameless = isObj(input) && !input['name'] && input['is_anonymous'] !== true;
  if (nameless) {
    const msg = 'Value error, Names must be provided for block documents.';
    problems.push({ type: 'value_error', loc, msg, input, ctx: { error: {} } });
  }
  return fields.parse(nameless ? { ...input, name: 'nameless' } : input, loc, nameless ? [] : problems);
});
const update = model({
  block_schema_id: optional(uuid),
  data: optional(dict),
  merge_existing_data: defaulted(bool, () => true),
});
const filter = params({
  limit,
  block_documents: optional(
    model({
      operator,
      id: ids,
      is_anonymous: optional(model({ eq_: optional(bool) })),
      block_type_id: ids,
      name: names,
    }),
  ),
  block_types: optional(model({ name: names, slug: optional(model({ any_: optional(list(text)) })) })),
  block_schemas: optional(anything),
  include_secrets: defaulted(bool, () => false),
  sort: defaulted(oneOf('NAME_DESC', 'NAME_ASC', 'BLOCK_TYPE_AND_NAME_ASC'), () => 'NAME_ASC' as const),
  offset,
});
type Filter = ReturnType<typeof filter.parse>;

const MISSING = 'Block document not found';

export function blockRoutes(state: State): Route[] {
  const read = (document: BlockDocument | undefined): BlockDocument => {
    if (document === undefined) throw notFound(MISSING);
    return document;
  };
  const view = (document: BlockDocument, secrets: boolean) => documentView(state, document, secrets);
  const typeBySlug = (slug?: string) => find(state.blockTypes, (type) => type.slug === slug);
  return [
    route('post', '/block_documents/', async (call) => addDocument(state, await call.read(create))),
    route('post', '/block_documents/filter', async (call) => {
      const wanted = await call.read(filter);
      const most = limitOf(state, wanted.limit);
      const found = findDocuments(state, wanted).slice(wanted.offset, wanted.offset + most);
      return found.map((document) => view(document, wanted.include_secrets));
    }),
    route('get', '/block_documents/:id', (call) => {
      const secrets = flag(call, 'include_secrets');
      return view(read(state.blockDocuments.get(call.params['id'] ?? '')), secrets);
    }),
    route('delete', '/block_documents/:id', ({ params: { id = '' } }) => {
      read(state.blockDocuments.get(id));
      state.blockDocuments.delete(id);
      for (const document of state.blockDocuments.values()) {
        const left = Object.entries(document.references).filter(([, target]) => target !== id);
        document.references = Object.fromEntries(left);
      }
      return noContent();
    }),
    route('patch', '/block_documents/:id', async (call) => {
      const wanted = await call.read(update);
      patch(state, read(state.blockDocuments.get(call.params['id'] ?? '')), wanted);
      return noContent();
    }),
    route('get', '/block_types/slug/:slug/block_documents', (call) => {
      const type = typeBySlug(call.params['slug']);
      if (type === undefined) throw notFound('Block type not found');
      const documents = [...state.blockDocuments.values()].filter((item) => item.typeId === type.id);
      const secrets = flag(call, 'include_secrets');
      return documents.sort((a, b) => compare(a.name, b.name)).map((item) => view(item, secrets));
    }),
    route('get', '/block_types/slug/:slug/block_documents/name/:name', (call) => {
      const secrets = flag(call, 'include_secrets');
      const type = typeBySlug(call.params['slug']);
      const wanted = call.params['name'];
      return view(
        read(find(state.blockDocuments, (item) => item.typeId === type?.id && item.name === wanted)),
        secrets,
      );
    }),
  ];
}

function addDocument(state: State, wanted: ReturnType<typeof fields.parse>): Reply {
  const type = state.blockTypes.get(wanted.block_type_id);
  const named = wanted.name;
  const taken = (item: BlockDocument) => item.typeId === wanted.block_type_id && item.name === named;
  if (named !== null && find(state.blockDocuments, taken) !== undefined)
    throw conflict('Block already exists');
  if (type === undefined) throw serverError();
  const base = row();
  const parts = splitReferences(state, wanted.data);
  const dangling = Object.values(parts.references).some((id) => !state.blockDocuments.has(id));
  if (!state.blockSchemas.has(wanted.block_schema_id) || dangling) throw integrity();
  const document: BlockDocument = {
    ...base,
    name: named ?? `anonymous-${base.id}`,
    ...parts,
    schemaId: wanted.block_schema_id,
    typeId: type.id,
    anonymous: wanted.is_anonymous,
  };
  state.blockDocuments.set(document.id, document);
  return created(documentView(state, document, false));
}

function patch(state: State, document: BlockDocument, wanted: ReturnType<typeof update.parse>): void {
  if (wanted.data === null) return;
  const schema = state.blockSchemas.get(wanted.block_schema_id ?? document.schemaId);
  const ofType = schema?.typeId === document.typeId;
  if (schema === undefined) throw serverError();
  if (!ofType) {
    const detail = 'Must migrate block document to a block schema of the same block type.';
    throw new Refusal(400, { detail });
  }
  const data = keepHidden(wanted.data, document.data, state.blockSchemas.get(document.schemaId));
  const merged = wanted.merge_existing_data ? { ...document.data, ...data } : data;
  const parts = splitReferences(state, merged);
  if (Object.values(parts.references).some((id) => !state.blockDocuments.has(id))) throw integrity();
  Object.assign(document, parts);
  document.schemaId = schema.id;
  document.updated = nowMillis();
}

function findDocuments(state: State, wanted: Filter): BlockDocument[] {
  const { block_documents: documents, block_types: types } = wanted;
  const matches = (item: BlockDocument): boolean => {
    const type = state.blockTypes.get(item.typeId);
    const ofType =
      types === null ||
      join('and_', matchWord(types.slug, type?.slug ?? ''), matchWord(types.name, type?.name ?? ''));
    if (documents === null) return ofType && !item.anonymous;
    const anonymous = documents.is_anonymous?.eq_ ?? null;
    return (
      ofType &&
      join(
        documents.operator,
        matchWord(documents.id, item.id),
        matchWord(documents.name, item.name),
        matchWord(documents.block_type_id, item.typeId),
        anonymous === null ? undefined : item.anonymous === anonymous,
      )
    );
  };
  const typeName = (item: BlockDocument) => state.blockTypes.get(item.typeId)?.name ?? '';
  return [...state.blockDocuments.values()].filter(matches).sort((a, b) => {
    if (wanted.sort === 'BLOCK_TYPE_AND_NAME_ASC')
      return compare(typeName(a), typeName(b)) || compare(a.name, b.name);
    return wanted.sort === 'NAME_ASC' ? compare(a.name, b.name) : compare(b.name, a.name);
  });
}

/** The data of referenced documents stands in the place of the reference. */
export function documentView(state: State, document: BlockDocument, secrets: boolean): Obj {
  const schema = state.blockSchemas.get(document.schemaId);
  const type = state.blockTypes.get(document.typeId);
  const data: Obj = secrets ? { ...document.data } : hideSecrets(document.data, schema);
  const references: Obj = {};
  for (const [key, id] of Object.entries(document.references)) {
    const target = state.blockDocuments.get(id);
    if (target === undefined) continue;
    const full = documentView(state, target, secrets);
    data[key] = full['data'];
    const { name: targetName, block_type, is_anonymous, block_document_references } = full;
    references[key] = {
      block_document: { id, name: targetName, block_type, is_anonymous, block_document_references },
    };
  }
  return {
    id: document.id,
    created: formatTime(document.created),
    updated: formatTime(document.updated),
    name: document.name,
    data,
    block_schema_id: document.schemaId,
    block_schema: schema === undefined ? null : schemaView(state, schema),
    block_type_id: document.typeId,
    block_type_name: type?.name ?? null,
    block_type: type === undefined ? null : typeView(type),
    block_document_references: references,
    is_anonymous: document.anonymous,
  };
}
