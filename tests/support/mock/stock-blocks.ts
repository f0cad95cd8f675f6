import { addSchema, addType } from './block-types.js';
import { type State } from './state.js';

const DESCRIPTION =
  'A block that represents a secret value. The value stored in this block will be obfuscated when this block is viewed or edited in the UI.';
const EXAMPLE =
  '```python\nfrom prefect.blocks.system import Secret\n\nSecret(value="sk-1234567890").save("BLOCK_NAME", overwrite=True)\n\nsecret_block = Secret.load("BLOCK_NAME")\n\n# Access the stored secret\nsecret_block.get()\n```';

/** Of the block types that hosts use, a server of these versions knows `secret` alone: Airbyte's are registered on first use. */
export function addStockBlocks(state: State): void {
  const type = addType(state, {
    name: 'Secret',
    slug: 'secret',
    logo: 'https://example.invalid/secret.png',
    documentation: 'https://docs.prefect.io/latest/develop/blocks',
    description: DESCRIPTION,
    example: EXAMPLE,
    protected: true,
  });
  const fields = {
    block_type_slug: 'secret',
    description: DESCRIPTION,
    properties: {
      value: {
        anyOf: [
          { format: 'password', type: 'string', writeOnly: true },
          { title: 'string', type: 'string' },
          { $ref: '#/definitions/JsonValue', title: 'JSON' },
        ],
        description: 'A value that should be kept secret.',
        examples: ['sk-1234567890', { password: 's3cr3t', username: 'johndoe' }],
        format: 'password',
        title: 'Value',
        writeOnly: true,
        position: 0,
      },
    },
    required: ['value'],
    secret_fields: ['value', 'value'],
    title: 'Secret',
    type: 'object',
    block_schema_references: {},
  };
  const schema = addSchema(state, { fields, typeId: type.id, capabilities: [], version: state.version });
  // The server's checksum is made before it trims the schema's definitions.
  schema.checksum = 'sha256:c078ed9c1e813e224c0b353d7ad4564a11d51d3198d9ac0686478165a1911c78';
}
