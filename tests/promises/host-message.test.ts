import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import type { EndedRun } from '../../src/prefect/ended-runs.js';
import { exampleBody } from '../../src/routes/host-webhook.js';
import { notification } from '../../src/schemas/notification.js';
import {
  webhookBody,
  webhookMessage,
  type WebhookBody,
} from '../../src/services/settlement/webhook-message.js';
import { describeApi } from '../../src/serve.js';
import { COMPLETED } from '../support/seed.js';
import { bendTime, startRig, type Rig } from '../support/settlement/rig.js';
import { holder } from '../support/settlement/things.js';

const ID = '6a1c9c1e-0f5b-4a3e-9d53-0e9c6f6b2f11';
const OTHER = '00000000-0000-4000-8000-000000000000';
const STATE_ID = '7b2d0d2f-1a6c-4b4f-8e64-1f0d7a7c3a22';

const ended = (fields: Partial<EndedRun> = {}): EndedRun => ({
  id: ID,
  name: 'amber-otter',
  parent_task_run_id: null,
  end_time: '2026-01-31T03:00:00.123456Z',
  parameters: {},
  state: { id: STATE_ID, type: 'FAILED', name: 'TimedOut', timestamp: '2026-01-31T03:00:00.123456Z' },
  ...fields,
});
const bodyOf = (run: EndedRun) => JSON.parse(webhookMessage(run).body) as WebhookBody;

/** How the public host reads the sentence: the first match counts. */
const HOST_PATTERN = /Flow run ([a-zA-Z0-9-]+) with id ([a-zA-Z0-9-]+) entered state ([a-zA-Z0-9]+)/;

describe('The sentence that a host reads', () => {
  it.each([
    ['x with id y entered state Completed', 'x-with-id-y-entered-state-Completed'],
    [`x with id ${OTHER} entered state Completed`, `x-with-id-${OTHER}-entered-state-Completed`],
    ['line\nbreak', 'line-break'],
    ['Geschäft', 'Gesch-ft'],
    ['an emoji is one character: 🦉', 'an-emoji-is-one-character---'],
    ['half of one: \ud83e', 'half-of-one---'],
    ['under_score', 'under-score'],
    ['', '-'],
    ['   ', '---'],
    ['amber-otter', 'amber-otter'],
  ])('shows the name %j as %s', (name, shown) => {
    expect(bodyOf(ended({ name })).body).toBe(`Flow run ${shown} with id ${ID} entered state Failed`);
  });

  it('is read by the host as the run that ended, whatever the name is', () => {
    const parts = fc.constantFrom(' with id ', OTHER, ' entered state ', 'Completed', 'Flow run ', '\n');
    const name = fc.array(fc.oneof(parts, fc.string({ unit: 'binary' })), { maxLength: 8 });
    fc.assert(
      fc.property(name, (some) => {
        const { body } = bodyOf(ended({ name: some.join('') }));
        expect(HOST_PATTERN.exec(body)?.slice(2)).toEqual([ID, 'Failed']);
        expect(HOST_PATTERN.exec(body)?.[0]).toBe(body);
      }),
    );
  });

  it('is understood by our own receiver, which takes any other name, too', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (name) => {
        const { body } = bodyOf(ended({ name }));
        expect(notification.parse({ body })).toEqual({ flowRunId: ID });
        const raw = `Flow run ${name} with id ${ID} entered state Failed`;
        expect(notification.parse({ body: raw })).toEqual({ flowRunId: ID });
      }),
    );
  });
});

describe('The object beside the sentence', () => {
  it('has the true name, the own name of the state, and no label of ours', () => {
    const labels = { 'prefect-proxy.settled': 'x', 'prefect.flow.id': ID, team: 'blue', count: 2 };
    const run = ended({ name: 'a "name"', labels, tags: ['acme'], run_count: 2, total_run_time: 1.5 });
    run.state = { ...run.state, type: 'COMPLETED', name: 'DBT_TEST_FAILED' };
    const { body, flow_run } = bodyOf(run);
    expect(body).toMatch(/ entered state Completed$/);
    expect(flow_run).toMatchObject({
      id: ID,
      name: 'a "name"',
      tags: ['acme'],
      labels: { 'prefect.flow.id': ID, team: 'blue', count: 2 },
      run_count: 2,
      total_run_time: 1.5,
      state: { id: STATE_ID, type: 'COMPLETED', name: 'DBT_TEST_FAILED' },
    });
    expect(Object.keys(flow_run.labels)).toEqual(['prefect.flow.id', 'team', 'count']);
  });

  it.each<[unknown, string | null]>([
    [{ config: { org_slug: 'acme', tasks: [{ env: { KEY: 'canary' } }] }, secret: 'canary' }, 'acme'],
    [{ config: { org_slug: { nested: 'canary' } } }, null],
    [{ config: 'canary' }, null],
    [{ org_slug: 'canary' }, null],
    [null, null],
    [undefined, null],
  ])('takes the organisation from the parameters %j, and nothing else', (parameters, slug) => {
    const { body } = webhookMessage(ended({ parameters }));
    expect((JSON.parse(body) as WebhookBody).flow_run.org_slug).toBe(slug);
    expect(body).not.toContain('canary');
  });

  it('has the first 1000 characters of the message of the state, cut between characters', () => {
    const run = ended();
    const messageOf = (message: string | null) =>
      bodyOf({ ...run, state: { ...run.state, message } }).flow_run.state.message;
    expect(messageOf(null)).toBeNull();
    expect(messageOf('short')).toBe('short');
    expect(messageOf('🦉'.repeat(999))).toBe('🦉'.repeat(999));
    expect(messageOf(`x${'🦉'.repeat(2_000)}`)).toBe(`x${'🦉'.repeat(999)}`);
  });

  it('follows the published schema, whatever the orchestrator leaves out', () => {
    expect(webhookBody.strict().safeParse(bodyOf(ended())).error).toBeUndefined();
    expect(webhookBody.strict().safeParse(exampleBody).error).toBeUndefined();
  });

  it('is described in the OpenAPI document as a webhook', () => {
    const document = describeApi() as { webhooks: Record<string, { post: unknown }> };
    const { post } = document.webhooks['flowRunEnded']!;
    expect(post).toMatchObject({
      requestBody: {
        content: { 'application/json': { schema: { required: ['body', 'flow_run'] }, example: exampleBody } },
      },
    });
  });

  it('is described by the JSON schema of docs/delivery.md', () => {
    const path = fileURLToPath(new URL('../../docs/delivery.md', import.meta.url));
    const blocks = [...readFileSync(path, 'utf8').matchAll(/^```json\n([^]*?)^```/gm)];
    const shown = blocks.map(([, text]) => JSON.parse(text!) as Record<string, unknown>);
    expect(shown).toContainEqual(JSON.parse(JSON.stringify(z.toJSONSchema(webhookBody, { io: 'input' }))));
    expect(shown).toContainEqual(exampleBody);
  });
});

describe('What a host is sent', () => {
  let rig: Rig;
  beforeEach(async () => {
    bendTime();
    rig = await startRig();
  });
  afterEach(async () => {
    await rig.close();
    vi.useRealTimers();
  });

  it('is the run as the orchestrator has it, in both forms', async () => {
    const settling = rig.start();
    const id = await rig.seed.flowRun({
      name: 'nightly: acme',
      tags: ['acme'],
      parameters: { config: { org_slug: 'acme' }, secret: 'canary' },
      deploymentId: await rig.seed.deployment(),
      states: [COMPLETED],
    });
    settling.hint({ flowRunId: id });
    const { settled } = await rig.labelled(id, 'settled');
    const [post] = rig.host.posts;
    expect(post!.sentence).toBe(`Flow run nightly--acme with id ${id} entered state Completed`);
    expect(post!.text).not.toContain('canary');
    const sent = webhookBody.strict().parse(JSON.parse(post!.text));
    expect(sent.flow_run).toMatchObject({
      id,
      name: 'nightly: acme',
      tags: ['acme'],
      org_slug: 'acme',
      state: { id: settled, type: 'COMPLETED', name: 'Completed' },
    });
    expect(post!.headers['webhook-id']).toBe(`${id}:${settled!}`);
  });

  it('does not change when the labels of ours do', async () => {
    const settling = rig.start();
    const id = await holder(rig.seed, {
      labels: { 'prefect-proxy.cleanup': '{}', mine: 'x' },
      states: [COMPLETED],
    });
    settling.hint({ flowRunId: id });
    await rig.labelled(id, 'settled');
    const { flow_run } = webhookBody.parse(JSON.parse(rig.host.posts[0]!.text));
    expect(flow_run.labels).toMatchObject({ mine: 'x' });
    expect(JSON.stringify(flow_run.labels)).not.toContain('prefect-proxy.');
  });
});
