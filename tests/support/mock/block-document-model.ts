import { hideSecrets } from './block-data.js';
import { schemaView, typeView } from './block-types.js';
import { compare } from './flows.js';
import { type Obj } from './json.js';
import { ids, join, matchWord, names, operator } from './match.js';
import { limit, offset } from './paging.js';
import { type BlockDocument, type State } from './state.js';
import { formatTime } from './time.js';
import { anything, bool, defaulted, list, model, oneOf, optional, params, text } from './validate.js';

export const filter = params({
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

export function findDocuments(state: State, wanted: Filter): BlockDocument[] {
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
