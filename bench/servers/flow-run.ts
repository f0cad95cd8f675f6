const time = '2026-01-31T03:00:00.123456Z';
const flowId = '5a98ad11-3202-4650-86f4-9a484d444081';
const deploymentId = '2721f72a-ede4-4c2c-af62-755a6aa244ef';
const stateId = '01a1fdb8-10f0-7897-a649-375635819745';

const task = (seq: number, slug: string, command: string) => ({
  seq,
  slug,
  type: 'Shell Operation',
  commands: [command],
  working_dir: '/mnt/clients/acme/dbtrepo',
  env: { shell: '/bin/bash' },
});

/** What a host's deployment gives to its runs. */
export const runParameters = {
  config: {
    org_slug: 'acme',
    tasks: [
      task(1, 'git-pull', 'git pull'),
      task(2, 'dbt-clean', 'dbt clean --profiles-dir profiles'),
      task(3, 'dbt-run', 'dbt run --profiles-dir profiles --target prod'),
    ],
  },
};

/** A flow run as Prefect 3.8.8 sends it: its 36 keys, some 2.3 KB of text. */
export function flowRun(id: string) {
  return {
    id,
    created: time,
    updated: time,
    name: 'amber-otter',
    flow_id: flowId,
    state_id: stateId,
    deployment_id: deploymentId,
    deployment_version: null,
    work_queue_id: '9f2b6a52-6f0c-4d57-9a51-7d1ce1a4c9b0',
    work_queue_name: 'ddp',
    flow_version: 'dd4b773720d4983be35a7d39eec444a7',
    parameters: runParameters,
    idempotency_key: null,
    context: {},
    empirical_policy: {
      max_retries: 0,
      retry_delay_seconds: 0,
      retries: 0,
      retry_delay: 0,
      pause_keys: [],
      resuming: false,
      retry_type: null,
    },
    tags: ['acme'],
    labels: { 'prefect.flow.id': flowId, 'prefect.deployment.id': deploymentId },
    parent_task_run_id: null,
    state_type: 'RUNNING',
    state_name: 'Running',
    run_count: 1,
    expected_start_time: time,
    next_scheduled_start_time: null,
    start_time: time,
    end_time: null,
    total_run_time: 0,
    estimated_run_time: 12.601,
    estimated_start_time_delta: 8.721151,
    auto_scheduled: false,
    infrastructure_document_id: null,
    infrastructure_pid: 'worker-1:24038',
    created_by: null,
    work_pool_id: '3c7bae55-6c1a-46a9-b4dc-707e35840cc0',
    work_pool_name: 'dalgo_work_pool',
    state: {
      id: stateId,
      type: 'RUNNING',
      name: 'Running',
      timestamp: time,
      message: '',
      data: null,
      state_details: {
        flow_run_id: id,
        task_run_id: null,
        child_flow_run_id: null,
        scheduled_time: null,
        cache_key: null,
        cache_expiration: null,
        deferred: null,
        untrackable_result: false,
        pause_timeout: null,
        pause_reschedule: false,
        pause_key: null,
        run_input_keyset: null,
        refresh_cache: null,
        retriable: null,
        transition_id: 'cc79cc3c-8d5a-4d9b-9e5f-b41dbbab092d',
        task_parameters_id: null,
        traceparent: null,
        deployment_concurrency_lease_id: null,
      },
    },
    job_variables: {},
  };
}
