import type { Router } from '../http/router.js';
import type { BlockTypes } from '../services/block-types.js';
import type { DeploymentDefaults } from '../services/deployments.js';
import type { RunFeeds } from '../services/follow/feeds.js';
import type { RunWatch } from '../services/follow/run-watch.js';
import type { RunPoller } from '../services/poll.js';
import type { ListLimits } from '../services/rows.js';
import type { SyncRuns } from '../services/sync-runs.js';
import type { PrefectVersion } from '../services/system/prefect-version.js';
import type { Delivering } from './deliveries.js';
import type { Notifications } from './webhooks.js';

/** What the routes are given: where to add themselves, and what outlives a request. */
export interface RouteContext {
  router: Router;
  limits: ListLimits;
  blockTypes: BlockTypes;
  /** Whether routes may reply with secrets. */
  allowsSecretRead: boolean;
  poller: RunPoller;
  runWatch: RunWatch;
  feeds: RunFeeds;
  syncRuns: SyncRuns;
  deploymentDefaults: DeploymentDefaults;
  notifications: Notifications;
  delivering: Delivering;
  prefectVersion: PrefectVersion;
}

export { EXAMPLE_ID } from '../schemas/examples.js';
