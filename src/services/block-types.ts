import type { PrefectSession } from '../prefect/client.js';
import * as blocks from '../prefect/blocks.js';
import { UpstreamError } from '../prefect/errors.js';

/** A block type that blocks are made of here, as it is registered where the orchestrator does not know it yet. */
export interface BlockTypeSpec {
  name: string;
  slug: string;
  /** Fields that a schema of this type must have for us to use it. */
  properties: Record<string, Record<string, unknown>>;
  required: string[];
  /** Fields that the orchestrator must encrypt and hide. */
  secretFields: string[];
  capabilities: string[];
  /** A field that refers to a block of another type. */
  reference?: { field: string; to: BlockTypeSpec };
}

/** The ids under which blocks of a type are made. */
export interface RegisteredType {
  typeId: string;
  schema: blocks.BlockSchema;
}

export const SECRET: BlockTypeSpec = {
  name: 'Secret',
  slug: 'secret',
  properties: { value: { title: 'Value', type: 'string', format: 'password', writeOnly: true } },
  required: ['value'],
  secretFields: ['value'],
  capabilities: [],
};

export const AIRBYTE_SERVER: BlockTypeSpec = {
  name: 'Airbyte Server',
  slug: 'airbyte-server',
  properties: {
    username: { title: 'Username', type: 'string', default: 'airbyte' },
    password: { title: 'Password', type: 'string', format: 'password', writeOnly: true },
    server_host: { title: 'Server Host', type: 'string', default: 'localhost' },
    server_port: { title: 'Server Port', type: 'integer', default: 8000 },
    api_version: { title: 'API Version', type: 'string', default: 'v1' },
    use_ssl: { title: 'Use SSL', type: 'boolean', default: false },
  },
  required: [],
  secretFields: ['password'],
  capabilities: [],
};

export const AIRBYTE_CONNECTION: BlockTypeSpec = {
  name: 'Airbyte Connection',
  slug: 'airbyte-connection',
  properties: {
    airbyte_server: { $ref: '#/definitions/AirbyteServer', title: 'Airbyte Server' },
    connection_id: { title: 'Connection ID', type: 'string' },
    status_updates: { title: 'Status Updates', type: 'boolean', default: false },
    timeout: { title: 'Timeout', type: 'integer', default: 3600 },
    // The stock type has no `extra`, and hosts keep the connection's name and its post-sync work there.
    extra: { title: 'Extra', type: 'object', default: {} },
  },
  required: ['airbyte_server', 'connection_id'],
  secretFields: [],
  capabilities: [],
  reference: { field: 'airbyte_server', to: AIRBYTE_SERVER },
};

/** Finds block types and their schemas, registers those that are missing, and remembers their ids. */
export class BlockTypes {
  private readonly known = new Map<string, Promise<RegisteredType>>();

  /** The ids of a type. Callers at once share one look-up; a failed one is not remembered. */
  ensure(api: PrefectSession, spec: BlockTypeSpec): Promise<RegisteredType> {
    const known = this.known.get(spec.slug);
    if (known) return known;
    const found = this.register(api, spec).catch((error: unknown) => {
      this.known.delete(spec.slug);
      throw error;
    });
    this.known.set(spec.slug, found);
    return found;
  }

  /** Forgets a type's ids: the orchestrator's database may have been made anew since. */
  forget(spec: BlockTypeSpec): void {
    this.known.delete(spec.slug);
  }

  private async register(api: PrefectSession, spec: BlockTypeSpec): Promise<RegisteredType> {
    const typeId = await ensureType(api, spec);
    const fitting = (await blocks.schemas(api, typeId)).find((schema) => fits(schema, spec));
    if (fitting) return { typeId, schema: fitting };
    const referred = spec.reference && (await this.ensure(api, spec.reference.to));
    return {
      typeId,
      schema: await blocks.createSchema(api, typeId, fieldsOf(spec, referred), spec.capabilities),
    };
  }
}

async function ensureType(api: PrefectSession, { name, slug }: BlockTypeSpec): Promise<string> {
  try {
    return await blocks.typeId(api, slug);
  } catch (error) {
    if (!(error instanceof UpstreamError && error.isNotFound)) throw error;
  }
  try {
    return await blocks.createType(api, name, slug);
  } catch (error) {
    // Someone else registered it in between.
    if (error instanceof UpstreamError && error.isConflict) return blocks.typeId(api, slug);
    throw error;
  }
}

function fits({ fields }: blocks.BlockSchema, spec: BlockTypeSpec): boolean {
  const { properties = {}, secret_fields: secrets = [] } = fields;
  return (
    Object.keys(spec.properties).every((name) => name in properties) &&
    spec.secretFields.every((name) => secrets.includes(name))
  );
}

/** The `fields` of a block schema, as Prefect's own classes describe theirs. */
function fieldsOf(spec: BlockTypeSpec, referred: RegisteredType | undefined): Record<string, unknown> {
  const { name, slug, properties, required, secretFields, reference } = spec;
  const base = {
    title: name.replaceAll(' ', ''),
    type: 'object',
    block_type_slug: slug,
    properties,
    required,
    secret_fields: secretFields,
  };
  if (!reference || !referred) return { ...base, block_schema_references: {} };
  const { name: otherName, slug: otherSlug } = reference.to;
  return {
    ...base,
    block_schema_references: {
      [reference.field]: { block_type_slug: otherSlug, block_schema_checksum: referred.schema.checksum },
    },
    definitions: { [otherName.replaceAll(' ', '')]: referred.schema.fields },
  };
}
