import { documentView, filter, findDocuments } from './block-document-model.js';
import { keepHidden, splitReferences } from './block-data.js';
import { compare } from './flows.js';
import {
  Refusal,
  Reply,
  type Route,
  conflict,
  created,
  flag,
  integrity,
  noContent,
  notFound,
  route,
  serverError,
} from './http.js';
import { isObj } from './json.js';
import { limitOf } from './paging.js';
import { type BlockDocument, type State, find, row } from './state.js';
import { nowMillis } from './time.js';
import { bool, defaulted, dict, field, model, name, optional, uuid } from './validate.js';

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
