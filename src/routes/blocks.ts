import { z } from '@hono/zod-openapi';
import { AppError } from '../errors.js';
import { RawJson } from '../http/router.js';
import { parsePlainJson, stringifyJson } from '../json.js';
import * as blockDocuments from '../prefect/blocks.js';
import * as replies from '../schemas/replies.js';
import * as requests from '../schemas/requests.js';
import { AIRBYTE_SERVER, SECRET } from '../services/block-types.js';
import * as blocks from '../services/blocks.js';
import { EXAMPLE_ID, type RouteContext } from './context.js';

const named = (description: string, example: string) =>
  z.object({ path: z.object({ blockname: requests.str.openapi({ description, example }) }) });
const aServer = named('An Airbyte server block', 'acme-airbyte');
const aSecret = named('A secret block', 'acme-key');
const CREATE_SERVER = 'failed to create airbyte server block';
const UPDATE_SERVER = 'failed to update airbyte server block';
const UPSERT_CONNECTION = 'failed to upsert airbyte connection block';
const SAVE_SECRET = 'failed to prefect secret block';

export function addAirbyteRoutes({ router, blockTypes, allowsSecretRead }: RouteContext): void {
  const tag = 'Airbyte blocks';
  const saved = { block_id: EXAMPLE_ID, cleaned_block_name: 'acme-airbyte' };

  router.add(
    {
      method: 'get',
      path: '/proxy/blocks/airbyte/server/{blockname}',
      operationId: 'getAirbyteServerId',
      summary: 'The id of an Airbyte server block, null where there is none',
      tag,
      input: aServer,
      reply: z.object({ block_id: z.string().nullable() }),
      example: { reply: { block_id: EXAMPLE_ID } },
      failure: 'failed to fetch airbyte server block',
    },
    async ({ path }, { prefect }) => ({
      block_id: (await blocks.find(prefect, AIRBYTE_SERVER, path.blockname))?.id ?? null,
    }),
  );

  router.add(
    {
      method: 'get',
      path: '/proxy/blocks/airbyte/server/block/{blockname}',
      operationId: 'getAirbyteServer',
      summary: 'Where an Airbyte server is, and its credentials',
      tag,
      input: aServer,
      reply: z.object({ host: z.string(), port: z.number().int(), version: z.string(), token: z.string() }),
      example: {
        reply: { host: 'airbyte.local', port: 8000, version: 'v1', token: 'YWlyYnl0ZTpwYXNzd29yZA==' },
      },
      failure: 'failed to fetch airbyte server block',
      errors: [404],
    },
    async ({ path }, { prefect }) => {
      if (!allowsSecretRead) throw secretsAreOff();
      const block = await blocks.find(prefect, AIRBYTE_SERVER, path.blockname, true);
      if (!block) throw new AppError('not_found', 'block not found');
      const { username, password, server_host: host, server_port: port, api_version: version } = block.data;
      return {
        host,
        port,
        version,
        token: Buffer.from(`${String(username)}:${String(password)}`).toString('base64'),
      };
    },
  );

  router.add(
    {
      method: 'post',
      path: '/proxy/blocks/airbyte/server/',
      operationId: 'createAirbyteServer',
      summary: 'Makes an Airbyte server block; its name is cleaned and must be free',
      tag,
      input: z.object({ body: requests.airbyteServerCreate }),
      reply: replies.airbyteBlock,
      example: {
        body: {
          blockName: 'acme-airbyte',
          serverHost: 'airbyte.local',
          serverPort: '8000',
          apiVersion: 'v1',
          useSSL: false,
        },
        reply: saved,
      },
      failure: CREATE_SERVER,
      errors: [400, 409],
    },
    async ({ body }, { prefect }) => {
      const name = cleaned(body.blockName, CREATE_SERVER);
      return {
        block_id: await blocks.createAirbyteServer(prefect, blockTypes, name, body),
        cleaned_block_name: name,
      };
    },
  );

  router.add(
    {
      method: 'put',
      path: '/proxy/blocks/airbyte/server/',
      operationId: 'updateAirbyteServer',
      summary: 'Changes the given fields of an Airbyte server block',
      tag,
      input: z.object({ body: requests.airbyteServerUpdate }),
      reply: replies.airbyteBlock,
      example: { body: { blockName: 'acme-airbyte', serverHost: 'new.local' }, reply: saved },
      failure: UPDATE_SERVER,
      errors: [400, 404],
    },
    async ({ body }, { prefect }) => ({
      block_id: await blocks.updateAirbyteServer(prefect, body.blockName, body, UPDATE_SERVER),
      cleaned_block_name: body.blockName,
    }),
  );

  router.add(
    {
      method: 'put',
      path: '/proxy/blocks/airbyte/connection/',
      operationId: 'upsertAirbyteConnection',
      summary: 'Makes or overwrites an Airbyte connection block',
      tag,
      input: z.object({ body: requests.airbyteConnection }),
      reply: replies.airbyteBlock,
      example: {
        body: {
          serverBlockName: 'acme-airbyte',
          connectionId: EXAMPLE_ID,
          connectionBlockName: EXAMPLE_ID,
          connectionName: 'Surveys',
          extra: {},
        },
        reply: { block_id: EXAMPLE_ID, cleaned_block_name: EXAMPLE_ID },
      },
      failure: UPSERT_CONNECTION,
      errors: [400, 404],
    },
    async ({ body }, { prefect }) => {
      const name = body.connectionBlockName;
      const id = await blocks.saveAirbyteConnection(prefect, blockTypes, name, body, UPSERT_CONNECTION);
      return { block_id: id, cleaned_block_name: name };
    },
  );
}

export function addSecretRoutes({ router, blockTypes, allowsSecretRead }: RouteContext): void {
  const tag = 'Secrets';
  const saved = { block_id: EXAMPLE_ID, block_name: 'acme-key' };

  router.add(
    {
      method: 'get',
      path: '/proxy/blocks/secret/{blockname}',
      operationId: 'getSecret',
      summary: 'The id of a secret block, without its value',
      tag,
      input: aSecret,
      reply: replies.secretBlock,
      example: { reply: saved },
      failure: 'failed to fetch secret block',
      errors: [404],
    },
    async ({ path }, { prefect }) => {
      const name = blocks.cleanBlockName(path.blockname);
      const block = await blocks.find(prefect, SECRET, name);
      if (!block) throw noSecret(name);
      return { block_id: block.id, block_name: name };
    },
  );

  router.add(
    {
      method: 'get',
      path: '/proxy/blocks/secret/{blockname}/contents',
      operationId: 'getSecretContents',
      summary: "A secret block's value: as it stands where it is JSON, else as a JSON string",
      tag,
      input: aSecret,
      reply: z.unknown(),
      example: { reply: { user: 'acme' } },
      failure: 'failed to fetch secret block contents',
      errors: [404],
    },
    async ({ path }, { prefect }) => {
      if (!allowsSecretRead) throw secretsAreOff();
      const name = blocks.cleanBlockName(path.blockname);
      const block = await blocks.find(prefect, SECRET, name, true);
      if (!block) throw noSecret(name);
      return asJson(block.data['value']);
    },
  );

  for (const method of ['post', 'put'] as const) {
    router.add(
      {
        method,
        path: '/proxy/blocks/secret/',
        operationId: method === 'post' ? 'createSecret' : 'upsertSecret',
        summary: 'Makes or overwrites a secret block; its name is cleaned',
        tag,
        input: z.object({ body: requests.secret }),
        reply: replies.secretBlock,
        example: { body: { blockName: 'acme-key', secret: 's3cret' }, reply: saved },
        failure: SAVE_SECRET,
        errors: [400],
      },
      async ({ body }, { prefect }) => {
        const name = cleaned(body.blockName, SAVE_SECRET);
        return {
          block_id: await blocks.saveSecret(prefect, blockTypes, name, body.secret),
          block_name: name,
        };
      },
    );
  }

  router.add(
    {
      method: 'delete',
      path: '/delete-a-block/{block_id}',
      operationId: 'deleteBlock',
      summary: 'Deletes a block of any type',
      tag: 'Blocks',
      input: z.object({
        path: z.object({
          block_id: requests.idInPath.openapi({ description: 'A block document', example: EXAMPLE_ID }),
        }),
      }),
      reply: replies.nothing,
      example: { reply: null },
      failure: { ownText: 'failed to delete the block' },
      errors: [400, 404],
    },
    async ({ path }, { prefect }) => {
      await blockDocuments.remove(prefect, path.block_id);
      return null;
    },
  );
}

function cleaned(name: string, failure: string): string {
  const clean = blocks.cleanBlockName(name);
  if (clean === '')
    throw new AppError('bad_request', failure, { upstream: 'the name has none of a-z, 0-9 and -' });
  return clean;
}

function noSecret(name: string): AppError {
  return new AppError('not_found', `no secret block named ${name}`);
}

function secretsAreOff(): AppError {
  return new AppError('forbidden', 'reading secrets is switched off here (ALLOW_SECRET_READ=false)');
}

/** Stored text that is JSON is the reply as it stands, so that its numbers come through; other text is a JSON string. */
function asJson(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    parsePlainJson(value);
    return new RawJson(value);
  } catch {
    return new RawJson(stringifyJson(value));
  }
}
