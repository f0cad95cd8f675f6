import { z } from '@hono/zod-openapi';
import type { Logger } from '../logger.js';
import { notification } from '../schemas/notification.js';
import type { OnHint } from '../services/hints.js';
import { EXAMPLE_ID, type RouteContext } from './context.js';

/** What the webhook is given. */
export interface Notifications {
  /** Keys that the orchestrator may send. */
  keys: readonly string[];
  hint: OnHint;
  counts: NotificationCounts;
  logger: Logger;
}

/** Notifications since the start. */
export interface NotificationCounts {
  understood: number;
  notUnderstood: number;
}

const MAX_BODY_BYTES = 256 * 1024;

/** Adds the webhook. It only passes hints on: the orchestrator runs two actions at a time and waits for each. */
export function addWebhookRoutes({ router, notifications }: RouteContext): void {
  const { keys, hint, counts, logger } = notifications;
  router.add(
    {
      method: 'post',
      path: '/webhooks/v1/notification/',
      operationId: 'receiveNotification',
      summary: "Takes the orchestrator's word that a flow run may have ended; any other JSON is ignored",
      tag: 'Webhooks',
      key: {
        header: 'X-Notification-Key',
        scheme: 'NotificationKey',
        accepted: keys,
        setting: 'PREFECT_NOTIFICATIONS_WEBHOOK_KEY',
      },
      maxBodyBytes: MAX_BODY_BYTES,
      anyContentType: true,
      input: z.object({ body: notification }),
      reply: z.object({ status: z.literal('ok') }),
      example: {
        body: { body: `Flow run tidy-owl with id ${EXAMPLE_ID} entered state Completed` },
        reply: { status: 'ok' },
      },
      failure: 'failed to take the notification',
      errors: [400],
    },
    ({ body }, { bodyBytes }) => {
      if (body) {
        counts.understood += 1;
        hint(body);
      } else {
        counts.notUnderstood += 1;
        logger.warn('webhook not understood', { bytes: bodyBytes });
      }
      return Promise.resolve({ status: 'ok' });
    },
  );
}
