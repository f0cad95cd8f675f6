import { AppError } from '../errors.js';
import type { PrefectSession } from '../prefect/client.js';
import * as blocks from '../prefect/blocks.js';
import type { BlockDocument } from '../prefect/blocks.js';
import { UpstreamError } from '../prefect/errors.js';
import {
  AIRBYTE_CONNECTION,
  AIRBYTE_SERVER,
  SECRET,
  type BlockTypes,
  type BlockTypeSpec,
} from './block-types.js';

/** Lower-cased, and without what a block's name may not have; may end up empty. */
export function cleanBlockName(name: string): string {
  return name.toLowerCase().replaceAll(/[^-a-z0-9]/g, '');
}

/** The block of that type and name, or null. */
export async function find(
  api: PrefectSession,
  type: BlockTypeSpec,
  name: string,
  withSecrets = false,
): Promise<BlockDocument | null> {
  if (name === '') return null;
  try {
    return await blocks.readByName(api, type.slug, name, withSecrets);
  } catch (error) {
    if (error instanceof UpstreamError && error.isNotFound) return null;
    throw error;
  }
}

/** Makes a secret block, or gives an existing one a new value. @returns its id */
export function saveSecret(
  api: PrefectSession,
  types: BlockTypes,
  name: string,
  value: string,
): Promise<string> {
  return save(api, types, SECRET, name, { value });
}

export interface AirbyteServerFields {
  serverHost: string;
  serverPort: number;
  apiVersion: string;
  useSSL: boolean;
}

/** Makes an Airbyte server block, with Airbyte's stock credentials. @throws UpstreamError 409 where the name is taken */
export function createAirbyteServer(
  api: PrefectSession,
  types: BlockTypes,
  name: string,
  fields: AirbyteServerFields,
): Promise<string> {
  return create(api, types, AIRBYTE_SERVER, name, {
    username: 'airbyte',
    password: 'password',
    server_host: fields.serverHost,
    server_port: fields.serverPort,
    api_version: fields.apiVersion,
    use_ssl: fields.useSSL,
  });
}

type AirbyteServerChange = { [K in keyof AirbyteServerFields]: AirbyteServerFields[K] | null } & {
  username: string | null;
  password: string | null;
};

/** Changes the given fields of an Airbyte server block; the others are not even sent. @returns its id */
export async function updateAirbyteServer(
  api: PrefectSession,
  name: string,
  change: AirbyteServerChange,
  missing: string,
): Promise<string> {
  const block = await find(api, AIRBYTE_SERVER, name);
  if (!block) throw new AppError('not_found', missing);
  const data = Object.fromEntries(
    Object.entries({
      username: change.username || null,
      password: change.password || null,
      server_host: change.serverHost || null,
      server_port: change.serverPort,
      api_version: change.apiVersion || null,
      use_ssl: change.useSSL,
    }).filter(([, value]) => value !== null),
  );
  if (Object.keys(data).length > 0) await blocks.update(api, block.id, { data }, true);
  return block.id;
}

export interface AirbyteConnectionFields {
  serverBlockName: string;
  connectionId: string;
  connectionName: string;
  extra: Record<string, unknown>;
}

/** Makes an Airbyte connection block, or overwrites the one of that name. @returns its id */
export async function saveAirbyteConnection(
  api: PrefectSession,
  types: BlockTypes,
  name: string,
  fields: AirbyteConnectionFields,
  missing: string,
): Promise<string> {
  const server = await find(api, AIRBYTE_SERVER, fields.serverBlockName);
  if (!server) throw new AppError('not_found', missing);
  return save(api, types, AIRBYTE_CONNECTION, name, {
    airbyte_server: { $ref: { block_document_id: server.id } },
    connection_id: fields.connectionId,
    status_updates: false,
    timeout: 3600,
    extra: { ...fields.extra, name: fields.connectionName },
  });
}

/** Creates or overwrites; a creation by someone else in between turns into an overwrite. */
async function save(
  api: PrefectSession,
  types: BlockTypes,
  type: BlockTypeSpec,
  name: string,
  data: Record<string, unknown>,
) {
  const existing = await find(api, type, name);
  if (existing) return overwrite(api, types, type, existing.id, data);
  try {
    return await create(api, types, type, name, data);
  } catch (error) {
    const rival = error instanceof UpstreamError && error.isConflict ? await find(api, type, name) : null;
    if (!rival) throw error;
    return overwrite(api, types, type, rival.id, data);
  }
}

async function overwrite(
  api: PrefectSession,
  types: BlockTypes,
  type: BlockTypeSpec,
  id: string,
  data: Record<string, unknown>,
) {
  const { schema } = await types.ensure(api, type);
  await blocks.update(api, id, { block_schema_id: schema.id, data }, false);
  return id;
}

async function create(
  api: PrefectSession,
  types: BlockTypes,
  type: BlockTypeSpec,
  name: string,
  data: Record<string, unknown>,
) {
  const { typeId, schema } = await types.ensure(api, type);
  try {
    return await blocks.create(api, typeId, name, { block_schema_id: schema.id, data });
  } catch (error) {
    types.forget(type);
    throw error;
  }
}
