import type { HasKey } from '../http/keys.js';
import type { Router } from '../http/router.js';
import type { Readiness } from '../services/readiness.js';

export interface Observability {
  router: Router;
  hasKey: HasKey;
  readiness: Readiness;
  /** What is wrong although requests can be served. */
  warnings: () => string[];
  /** Makes the text of `/metrics`. */
  scrape: () => Promise<string>;
}

const PROMETHEUS = 'text/plain; version=0.0.4; charset=utf-8';

/** Adds what load balancers and Prometheus ask. */
export function addObservability({ router, hasKey, readiness, warnings, scrape }: Observability): void {
  router.addOpen('/readyz', async (c, about) => {
    const reasons = await readiness.reasons();
    about.replyHeaders['cache-control'] = 'no-store';
    // A balancer has no key, and needs no reasons.
    const shown = hasKey(c) ? warnings() : [];
    if (reasons.length === 0)
      return JSON.stringify({ status: 'ok', ...(shown.length > 0 ? { warnings: shown } : {}) });
    about.status = 503;
    return JSON.stringify({ status: 'unavailable', ...(hasKey(c) ? { reasons } : {}) });
  });

  router.addOwn('/metrics', (_c, about) => {
    about.replyHeaders['content-type'] = PROMETHEUS;
    return scrape();
  });
}
