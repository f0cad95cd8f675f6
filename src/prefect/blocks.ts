import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { readPages, type PageSize } from './pages.js';
import { exact, nothing, plain, withId } from './parse.js';
import { path } from './path.js';

const blockSchema = z.object({
  id: z.string(),
  checksum: z.string(),
  fields: z.looseObject({
    properties: z.record(z.string(), z.unknown()).optional(),
    secret_fields: z.array(z.string()).optional(),
  }),
});
const blockSchemas = plain(z.array(blockSchema));
export type BlockSchema = z.input<typeof blockSchema>;

const blockDocument = z.looseObject({
  id: z.string(),
  name: z.string().nullable(),
  data: z.record(z.string(), z.unknown()),
});
export type BlockDocument = z.input<typeof blockDocument>;

/** Blocks that a list has at most. */
const LIST_CEILING = 10_000;

/** The parts of a block document that are written. */
export interface BlockData {
  block_schema_id: string;
  data: Record<string, unknown>;
}

/** `GET /block_types/slug/{slug}`: the type's id. */
export async function typeId(api: PrefectSession, slug: string): Promise<string> {
  return (await api.get(path`/block_types/slug/${slug}`, { retry: 'read', parse: withId })).id;
}

/** `POST /block_types/` @returns its id @throws UpstreamError 409 where the slug is taken */
export async function createType(api: PrefectSession, name: string, slug: string): Promise<string> {
  return (await api.post(path`/block_types/`, { body: { name, slug }, retry: 'create', parse: withId })).id;
}

/** `POST /block_schemas/filter`: the schemas of a type, newest first. */
export function schemas(api: PrefectSession, blockTypeId: string): Promise<BlockSchema[]> {
  return api.post(path`/block_schemas/filter`, {
    body: { block_schemas: { block_type_id: { any_: [blockTypeId] } } },
    retry: 'read',
    parse: blockSchemas,
  });
}

/** `POST /block_schemas/`: answers with the schema of the same checksum where there is one. */
export function createSchema(
  api: PrefectSession,
  blockTypeId: string,
  fields: Record<string, unknown>,
  capabilities: string[],
): Promise<BlockSchema> {
  return api.post(path`/block_schemas/`, {
    body: { block_type_id: blockTypeId, fields, capabilities, version: 'prefect-proxy' },
    retry: 'idempotent',
    parse: plain(blockSchema),
  });
}

/** `GET /block_types/slug/{slug}/block_documents/name/{name}`, with its secrets where asked for. */
export function readByName(
  api: PrefectSession,
  slug: string,
  name: string,
  withSecrets: boolean,
): Promise<BlockDocument> {
  const found = path`/block_types/slug/${slug}/block_documents/name/${name}`;
  return api.get(withSecrets ? found.withQuery({ include_secrets: 'true' }) : found, {
    retry: 'read',
    parse: exact(blockDocument),
  });
}

/** `POST /block_documents/filter`, all pages: the named blocks of some types, with their secrets. */
export async function listOfTypes(
  api: PrefectSession,
  size: PageSize,
  slugs: string[],
): Promise<BlockDocument[]> {
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/block_documents/filter`, {
      body: { block_types: { slug: { any_: slugs } }, include_secrets: true, limit, offset },
      retry: 'read',
      parse: exact(z.array(blockDocument)),
    });
  return (await readPages(size, fetchPage, { ceiling: LIST_CEILING })).rows;
}

/** `POST /block_documents/` @returns its id @throws UpstreamError 409 where the name is taken */
export async function create(
  api: PrefectSession,
  blockTypeId: string,
  name: string,
  block: BlockData,
): Promise<string> {
  const body = { name, block_type_id: blockTypeId, ...block };
  return (await api.post(path`/block_documents/`, { body, retry: 'create', parse: withId })).id;
}

/**
 * `PATCH /block_documents/{id}`. Only ever given values that a host sent: what was read holds `********`.
 * @param merge keep the fields that are not given
 */
export async function update(
  api: PrefectSession,
  id: string,
  block: Partial<BlockData>,
  merge: boolean,
): Promise<void> {
  const body = { ...block, merge_existing_data: merge };
  await api.patch(path`/block_documents/${id}`, { body, retry: 'idempotent', parse: nothing });
}

/** `DELETE /block_documents/{id}` */
export function remove(api: PrefectSession, id: string): Promise<void> {
  return api.delete(path`/block_documents/${id}`);
}
