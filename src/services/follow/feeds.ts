import { AppError } from '../../errors.js';
import type { PrefectSession } from '../../prefect/client.js';
import { RunFeed, type FeedDeps } from './feed.js';

/** Each of them has a connection open. */
const MAX_FOLLOWERS = 1_000;

interface Shared {
  feed: RunFeed;
  opening: Promise<void>;
  followers: number;
}

/** The runs that this process follows: one feed a run, for as long as somebody follows it. */
export class RunFeeds {
  private readonly shared = new Map<string, Shared>();
  private followers = 0;

  constructor(private readonly deps: FeedDeps) {}

  /**
   * @returns the feed of a run, read up to now, and what is to be called when it is no longer followed
   * @throws UpstreamError where there is no such run, or where it cannot be read
   * @throws AppError 503 where too many are following already
   */
  async join(api: PrefectSession, id: string): Promise<{ feed: RunFeed; leave: () => void }> {
    if (this.followers >= MAX_FOLLOWERS)
      throw new AppError('orchestrator_unavailable', 'too many event streams', { retryAfterSeconds: 10 });
    const known = this.shared.get(id);
    const one = known && !known.feed.isSettled ? known : this.start(api, id);
    one.followers += 1;
    this.followers += 1;
    let isThere = true;
    const leave = () => {
      if (!isThere) return;
      isThere = false;
      this.followers -= 1;
      one.followers -= 1;
      if (one.followers > 0) return;
      one.feed.stop();
      if (this.shared.get(id) === one) this.shared.delete(id);
    };
    try {
      await one.opening;
    } catch (error) {
      leave();
      throw error;
    }
    return { feed: one.feed, leave };
  }

  private start(api: PrefectSession, id: string): Shared {
    const feed = new RunFeed(this.deps, api, id);
    const one = { feed, opening: feed.open(api), followers: 0 };
    this.shared.set(id, one);
    return one;
  }
}
