import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { contract } from './support/contract.js';
import { OTHER_ROUTES, ROUTES, makeGood, send } from './support/all-routes.js';

type Json = Record<string, unknown>;
interface Media {
  schema?: Json;
  example?: unknown;
}
interface Operation {
  operationId: string;
  summary: string;
  tags: string[];
  parameters?: { name: string; in: string; required: boolean; description?: string; schema: Json }[];
  requestBody?: { required: boolean; content: Record<string, Media> };
  responses: Record<string, { description: string; content?: Record<string, Media> }>;
}
interface Document {
  openapi: string;
  info: { title: string; version: string };
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Json> };
}

const c = contract();
let document: Document;
let operations: { method: string; path: string; operation: Operation }[];

beforeAll(async () => {
  const reply = await c.host.get('/openapi.json');
  expect(reply.status).toBe(200);
  document = reply.json as Document;
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
});

/** The problems of an example, by its schema with the components beside it. */
function problemsOf({ schema = {}, example }: Media): string[] {
  const whole = JSON.stringify({ ...schema, $defs: document.components.schemas });
  const local = JSON.parse(whole.replaceAll('#/components/schemas/', '#/$defs/')) as Parameters<
    typeof z.fromJSONSchema
  >[0];
  const checked = z.fromJSONSchema(local).safeParse(example);
  return checked.success
    ? []
    : checked.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
}

/** Says which operations are wrong and how; nothing where all are right. */
function complaints(check: (operation: Operation, path: string, method: string) => string[]): string[] {
  return operations.flatMap(({ method, path, operation }) =>
    check(operation, path, method).map((problem) => `${operation.operationId}: ${problem}`),
  );
}

describe('/openapi.json', () => {
  it('is OpenAPI 3.1', () => {
    expect(document.openapi).toMatch(/^3\.1\.\d+$/);
    expect(document.info).toMatchObject({ title: 'prefect-proxy', version: expect.any(String) as string });
  });

  it('and the table of routes for the tests show the same routes', () => {
    const known = operations
      .filter(({ operation }) => !OTHER_ROUTES.includes(operation.operationId))
      .map(({ method, path, operation }) => `${operation.operationId} ${method} ${path}`);
    expect(ROUTES.map(({ id, method, pattern }) => `${id} ${method} ${pattern}`).sort()).toEqual(
      known.sort(),
    );
  });

  it('names each operation once, and says what it does', () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(complaints(({ summary }) => (summary.length > 8 ? [] : ['no summary']))).toEqual([]);
  });

  it('says what each group of routes is for, and has no other groups', () => {
    const used = new Set(operations.flatMap(({ operation }) => operation.tags));
    expect(document.tags.map(({ name }) => name).sort()).toEqual([...used].sort());
    expect(document.tags.filter(({ description }) => !description)).toEqual([]);
  });

  it('says what each parameter is, with an example where it must be there, and only there: a page sends it', () => {
    const found = complaints(({ parameters = [] }) =>
      parameters.flatMap(({ name, required, description, schema }) => [
        ...(description ? [] : [`no description of ${name}`]),
        ...('example' in schema === required ? [] : [`example of ${name}`]),
        ...(required ? problemsOf({ schema, example: schema['example'] }) : []),
      ]),
    );
    expect(found).toEqual([]);
  });

  it('describes every placeholder of a path', () => {
    const found = complaints(({ parameters = [] }, path) => {
      const named = parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name);
      const placeholders = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      return JSON.stringify(named.sort()) === JSON.stringify(placeholders.sort()) ? [] : ['path parameters'];
    });
    expect(found).toEqual([]);
  });

  it('has a schema and an example of each request and each success', () => {
    const found = complaints(({ requestBody, responses }, _path, method) => {
      const media = (content?: Record<string, Media>) =>
        content?.['application/json'] ?? content?.['text/event-stream'] ?? {};
      const success = media(responses['200']?.content);
      const request = media(requestBody?.content);
      const hasBody = requestBody !== undefined;
      return [
        ...(success.schema ? [] : ['no schema of the reply']),
        ...('example' in success ? [] : ['no example of the reply']),
        ...(hasBody && !request.schema ? ['no schema of the request'] : []),
        ...(hasBody && !('example' in request) ? ['no example of the request'] : []),
        ...(['PUT', 'PATCH'].includes(method) && !hasBody ? ['no body'] : []),
      ];
    });
    expect(found).toEqual([]);
  });

  it('has a schema of each error, and the errors that every route can answer', () => {
    const found = complaints(({ responses }, path) => {
      const errors = Object.entries(responses).filter(([status]) => !status.startsWith('2'));
      const needed = ['401', '403', '421', '422', '500', '502', '503', '504'];
      return [
        ...errors
          .filter(([, { content }]) => !content?.['application/json']?.schema)
          .map(([s]) => `no schema of ${s}`),
        ...needed.filter((status) => !(status in responses)).map((status) => `no ${status}`),
        ...(/_id\}/.test(path) && !('404' in responses) ? ['no 404'] : []),
      ];
    });
    expect(found).toEqual([]);
  });

  it('has examples that fit their schemas', () => {
    const found = complaints(({ requestBody, responses }) =>
      [requestBody?.content, responses['200']?.content].flatMap((content) => {
        const media = content?.['application/json'];
        return media ? problemsOf(media) : [];
      }),
    );
    expect(found).toEqual([]);
  });

  it('describes what the routes really answer', async () => {
    const good = await makeGood(c.host, c.seed);
    for (const route of ROUTES) {
      const reply = await send(c.host, route, good);
      expect({ id: route.id, status: reply.status }).toEqual({ id: route.id, status: 200 });
      const operation = operations.find(
        ({ operation: { operationId } }) => operationId === route.id,
      )!.operation;
      const { schema } = operation.responses['200']!.content!['application/json']!;
      expect({ id: route.id, problems: problemsOf({ schema: schema!, example: reply.json }) }).toEqual({
        id: route.id,
        problems: [],
      });
    }
  });

  it('describes what an error really is', async () => {
    const schemaOf = (status: string) =>
      operations.find(({ operation: { operationId } }) => operationId === 'getRun')!.operation.responses[
        status
      ]!.content!['application/json']!.schema!;
    const missing = await c.host.get('/proxy/flow_runs/00000000-0000-4000-8000-000000000000');
    expect(problemsOf({ schema: schemaOf('404'), example: missing.json })).toEqual([]);
    const malformed = await c.host.post('/proxy/flow_run/', {});
    expect(problemsOf({ schema: schemaOf('422'), example: malformed.json })).toEqual([]);
  });
});
