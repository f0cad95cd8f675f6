import { randomUUID } from 'node:crypto';
import { Events } from './events.js';
import { type Obj } from './json.js';
import { type Micros, now } from './time.js';

export const STATE_TYPES = [
  'SCHEDULED',
  'PENDING',
  'RUNNING',
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'CRASHED',
  'PAUSED',
  'CANCELLING',
] as const;
export type StateType = (typeof STATE_TYPES)[number];

export interface Row {
  id: string;
  created: Micros;
  updated: Micros;
}

export interface RunState {
  id: string;
  type: StateType;
  name: string;
  timestamp: Micros;
  message: string | null;
  data: unknown;
  details: Obj & { scheduled_time: Micros | null };
}

/** What flow runs and task runs share; the orchestration rules know no more. */
export interface Run extends Row {
  name: string;
  tags: string[];
  labels: Obj;
  state: RunState | null;
  history: RunState[];
  runCount: number;
  expectedStart: Micros | null;
  nextScheduledStart: Micros | null;
  start: Micros | null;
  end: Micros | null;
  totalRunTime: Micros;
}

/** When the server itself schedules a retry of a run that says it failed. */
export interface RunPolicy {
  retries: number | null;
  /** Seconds. */
  retryDelay: number | null;
  retryType: 'in_process' | 'reschedule' | null;
}

export interface FlowRun extends Run {
  flowId: string;
  deploymentId: string | null;
  deploymentVersion: string | null;
  queueId: string | null;
  queueName: string | null;
  flowVersion: string | null;
  parameters: Obj;
  idempotencyKey: string | null;
  context: Obj;
  parentTaskRunId: string | null;
  infrastructurePid: string | null;
  jobVariables: Obj | null;
  policy: RunPolicy;
}

export interface TaskRun extends Run {
  flowRunId: string | null;
  taskKey: string;
  dynamicKey: string;
  taskVersion: string | null;
  inputs: Record<string, Obj[]>;
  flowRunRunCount: number;
}

export interface Flow extends Row {
  name: string;
  tags: string[];
  labels: Obj;
}

export interface Log extends Row {
  name: string;
  level: number;
  message: string;
  timestamp: Micros;
  flowRunId: string | null;
  taskRunId: string | null;
}

export interface Schedule extends Row {
  schedule: Obj;
  active: boolean;
  maxScheduledRuns: number | null;
  parameters: Obj;
  slug: string | null;
}

export interface Deployment extends Row {
  name: string;
  flowId: string;
  version: string | null;
  description: string | null;
  paused: boolean;
  schedules: Schedule[];
  jobVariables: Obj;
  parameters: Obj;
  tags: string[];
  labels: Obj;
  queueId: string | null;
  queueName: string | null;
  lastPolled: Micros | null;
  schema: Obj | null;
  path: string | null;
  pullSteps: unknown;
  entrypoint: string | null;
  status: 'READY' | 'NOT_READY';
  enforceSchema: boolean;
  /** Runs at a time. */
  limit: number | null;
}

export interface WorkPool extends Row {
  name: string;
  description: string | null;
  type: string;
  template: Obj;
  paused: boolean;
  limit: number | null;
  status: 'READY' | 'NOT_READY' | 'PAUSED' | null;
  defaultQueueId: string;
}

export interface WorkQueue extends Row {
  name: string;
  description: string;
  paused: boolean;
  limit: number | null;
  priority: number;
  poolId: string;
  lastPolled: Micros | null;
}

export interface Worker extends Row {
  name: string;
  poolId: string;
  heartbeat: Micros;
  interval: number | null;
}

export interface BlockType extends Row {
  name: string;
  slug: string;
  logo: string | null;
  documentation: string | null;
  description: string | null;
  example: string | null;
  protected: boolean;
}

export interface BlockSchema extends Row {
  checksum: string;
  fields: Obj;
  typeId: string;
  capabilities: string[];
  version: string;
}

export interface BlockDocument extends Row {
  name: string;
  data: Obj;
  references: Record<string, string>;
  schemaId: string;
  typeId: string;
  anonymous: boolean;
}

export interface Variable extends Row {
  name: string;
  value: unknown;
  tags: string[];
}

/** Of the second kind; those of a tag are named `tag:<tag>`. */
export interface Limit extends Row {
  name: string;
  active: boolean;
  limit: number;
  activeSlots: number;
  deniedSlots: number;
  decay: number;
}

export interface Lease {
  id: string;
  limitIds: string[];
  slots: number;
  holder: { type: string; id: string } | null;
}

export class State {
  readonly flows = new Map<string, Flow>();
  readonly flowRuns = new Map<string, FlowRun>();
  readonly taskRuns = new Map<string, TaskRun>();
  logs: Log[] = [];
  readonly deployments = new Map<string, Deployment>();
  readonly pools = new Map<string, WorkPool>();
  readonly queues = new Map<string, WorkQueue>();
  readonly workers = new Map<string, Worker>();
  readonly blockTypes = new Map<string, BlockType>();
  readonly blockSchemas = new Map<string, BlockSchema>();
  readonly blockDocuments = new Map<string, BlockDocument>();
  readonly variables = new Map<string, Variable>();
  readonly limits = new Map<string, Limit>();
  readonly leases = new Map<string, Lease>();
  readonly events = new Events();

  constructor(
    readonly version: string,
    readonly pageLimit: number,
    /** Nodes that a graph may have. */
    readonly graphNodes = 10_000,
  ) {}

  /** 3.6 and 3.8 differ in a few answers. */
  get old(): boolean {
    return /^3\.[0-6]\./.test(this.version);
  }
}

export function row(): Row {
  const created = now();
  return { id: randomUUID(), created, updated: created };
}

export function find<T>(items: Map<string, T>, test: (item: T) => boolean): T | undefined {
  return [...items.values()].find(test);
}
