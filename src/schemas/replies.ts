import { z } from '@hono/zod-openapi';

const id = z.string().openapi({ format: 'uuid' });
const time = z.string().nullable().openapi({ format: 'date-time' });
const seconds = z.number().openapi({ description: 'Seconds' });

export const success = z.object({ success: z.literal(1) }).openapi('Success');
export const nothing = z.null();

/** The orchestrator's own flow run: all its keys, of which these are the ones hosts read. */
export const flowRun = z
  .looseObject({
    id,
    name: z.string(),
    deployment_id: id.nullable(),
    tags: z.array(z.string()),
    parameters: z.record(z.string(), z.unknown()),
    state_type: z.string().nullable(),
    state_name: z.string().nullable(),
    start_time: time,
    end_time: time,
    expected_start_time: time,
    total_run_time: seconds,
  })
  .openapi('FlowRun', { additionalProperties: true });

export const flowRunWithStatus = flowRun
  .extend({ status: z.string().nullable().openapi({ description: 'The state type, e.g. COMPLETED' }) })
  .openapi('FlowRunWithStatus', { additionalProperties: true });

export const finishedRun = z
  .object({
    id,
    name: z.string(),
    tags: z.array(z.string()),
    startTime: time,
    expectedStartTime: time,
    totalRunTime: seconds,
    status: z.string().nullable().openapi({ description: 'The state type, e.g. COMPLETED' }),
    state_name: z
      .string()
      .nullable()
      .openapi({ description: '`DBT_TEST_FAILED` where a task run of it is in that state' }),
  })
  .openapi('FinishedRun');

export const lateRun = z
  .object({
    id,
    name: z.string(),
    tags: z.array(z.string()),
    startTime: time,
    expectedStartTime: time,
    totalRunTime: seconds,
    estimatedRunTime: seconds,
    workQueueName: z.string().nullable(),
    workPoolName: z.string().nullable(),
    deployment_id: id.nullable(),
  })
  .openapi('LateRun');

const node = z.object({
  id,
  kind: z.enum(['flow-run', 'task-run']),
  label: z.string(),
  state_type: z.string().nullable(),
  state_name: z.string().nullable(),
  start_time: time,
  end_time: time,
});

export const graphNode = node
  .extend({
    total_run_time: seconds,
    estimated_run_time: seconds,
    parameters: z
      .unknown()
      .optional()
      .openapi({ description: "A subflow's `parameters.payload`, where it has one" }),
  })
  .openapi('GraphNode');

export const log = z
  .object({
    level: z.number().int(),
    timestamp: z.string().openapi({ format: 'date-time' }),
    message: z.string(),
  })
  .openapi('Log');

export const nodeLogs = node.extend({ logs: z.array(log) }).openapi('NodeLogs');

export const deployment = z
  .object({
    name: z.string(),
    deploymentId: id,
    tags: z.array(z.string()),
    cron: z.string().openapi({ description: 'Empty where it has no cron schedule' }),
    isScheduleActive: z.boolean(),
    parameters: z.record(z.string(), z.unknown()),
    entrypoint: z.string().nullable(),
  })
  .openapi('Deployment');

export const createdRun = z.object({ flow_run_id: id, name: z.string() }).openapi('CreatedRun');
export const secretBlock = z.object({ block_id: id, block_name: z.string() }).openapi('SecretBlock');
export const airbyteBlock = z
  .object({ block_id: id, cleaned_block_name: z.string() })
  .openapi('AirbyteBlock');
