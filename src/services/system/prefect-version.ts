import * as admin from '../../prefect/admin.js';
import type { PrefectClient, PrefectSession } from '../../prefect/client.js';
import { UpstreamError } from '../../prefect/errors.js';

export interface VersionAnswer {
  version: string;
  /** Whether Prefect has said so now; false: it is the last version that this process has heard. */
  isCurrent: boolean;
}

/** How long Prefect may take if there is an earlier answer: as long as for `/readyz`. */
const PATIENCE_SECONDS = 2;
/** Short as well: what is in flight holds up the end of the process. */
const LEARN_SECONDS = 2;

/** Prefect's version, remembered by this process for the times when Prefect is away. */
export class PrefectVersion {
  private known: string | undefined;
  private learning: PrefectClient | undefined;

  /**
   * Asks for `GET /admin/version`. Any failure is answered by the last known version, also no answer within 2 s.
   * @throws UpstreamError if the version was never known
   */
  async read(api: PrefectSession): Promise<VersionAnswer> {
    const asked = this.ask(api);
    if (this.known === undefined) return { version: await asked, isCurrent: true };
    const version = await inTime(asked);
    // Read again: it may have become known meanwhile.
    return version === undefined ? { version: this.known, isCurrent: false } : { version, isCurrent: true };
  }

  /** Asks for it now, in the background; if that fails, again as soon as Prefect has answered any other call. */
  learn(client: PrefectClient): void {
    this.learning = undefined;
    this.ask(client.session({ isShared: true, timeoutSeconds: LEARN_SECONDS })).catch(() => {
      this.learning = client;
    });
  }

  /** Must be called whenever Prefect has answered a call. */
  prefectAnswered(): void {
    const { learning: client } = this;
    if (client === undefined) return;
    this.learning = undefined;
    if (this.known === undefined) this.learn(client);
  }

  private async ask(api: PrefectSession): Promise<string> {
    this.known = await admin.version(api);
    return this.known;
  }
}

/** What it resolves to; undefined if it fails at Prefect or takes too long. It may go on in the background. */
async function inTime(asked: Promise<string>): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => {
      resolve(undefined);
    }, PATIENCE_SECONDS * 1_000);
  });
  const answered = asked.catch((error: unknown) => {
    if (error instanceof UpstreamError) return undefined;
    throw error;
  });
  return Promise.race([answered, late]).finally(() => {
    clearTimeout(timer);
  });
}
