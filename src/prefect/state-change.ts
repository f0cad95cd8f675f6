import { z } from 'zod';
import { TERMINAL, type EndedRun } from './ended-runs.js';

const RUN = 'prefect.flow-run.';
const resourceOf = (role: string) => `prefect.${role}.`;

/** What the event of a run's terminal state says: enough to notify a host of a run that cannot be read any more. */
export const stateChange = z.object({
  flowRunId: z.string(),
  name: z.string(),
  flowId: z.string().nullable(),
  deploymentId: z.string().nullable(),
  deploymentName: z.string().nullable(),
  /** Those of the run, its flow and its deployment: events do not tell them apart. */
  tags: z.array(z.string()),
  isSubflow: z.boolean(),
  state: z.object({
    id: z.string(),
    type: z.enum(TERMINAL),
    name: z.string(),
    timestamp: z.string(),
    message: z.string().nullable(),
  }),
});
export type StateChange = z.infer<typeof stateChange>;

const related = z.looseObject({
  'prefect.resource.id': z.string(),
  'prefect.resource.role': z.string().optional(),
  'prefect.resource.name': z.string().optional(),
});
/** A state-change event of a flow run as Prefect sends and logs it (3.6.29 and 3.8.8); its id is that of the state. */
const event = z.looseObject({
  id: z.string(),
  resource: z.looseObject({
    'prefect.resource.id': z.string().startsWith(RUN),
    'prefect.resource.name': z.string(),
    'prefect.state-type': z.enum(TERMINAL),
    'prefect.state-name': z.string(),
    'prefect.state-timestamp': z.string(),
    'prefect.state-message': z.string().nullish(),
  }),
  related: z.array(related),
});

/** Reads an event; undefined if it is not that of a terminal state, or leaves out something that a host needs. */
export function readStateChange(value: unknown): StateChange | undefined {
  const { data } = event.safeParse(value);
  if (!data) return undefined;
  const { resource } = data;
  const ofRole = (role: string) => data.related.filter((one) => one['prefect.resource.role'] === role);
  const idOf = (role: string) =>
    ofRole(role)[0]?.['prefect.resource.id'].slice(resourceOf(role).length) ?? null;
  return {
    flowRunId: resource['prefect.resource.id'].slice(RUN.length),
    name: resource['prefect.resource.name'],
    flowId: idOf('flow'),
    deploymentId: idOf('deployment'),
    deploymentName: ofRole('deployment')[0]?.['prefect.resource.name'] ?? null,
    tags: ofRole('tag').map((one) => one['prefect.resource.id'].slice(resourceOf('tag').length)),
    isSubflow: ofRole('task-run').length > 0,
    state: {
      id: data.id,
      type: resource['prefect.state-type'],
      name: resource['prefect.state-name'],
      timestamp: resource['prefect.state-timestamp'],
      message: resource['prefect.state-message'] || null,
    },
  };
}

/** The run as far as a state change tells of it. */
export function runOf({ flowRunId, name, flowId, deploymentId, tags, state }: StateChange): EndedRun {
  return {
    id: flowRunId,
    name,
    flow_id: flowId,
    deployment_id: deploymentId,
    tags,
    parent_task_run_id: null,
    end_time: state.timestamp,
    state,
  };
}
