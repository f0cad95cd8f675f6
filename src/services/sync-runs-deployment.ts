/** The name of the deployment of all synchronous runs. */
export const SYNC_RUNS_DEPLOYMENT = 'prefect-proxy-sync-runs';
