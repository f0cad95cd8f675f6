import pLimit from 'p-limit';
import type { PrefectClient } from '../../prefect/client.js';
import { addLabels } from '../../prefect/ended-runs.js';

/** SQLite has one writer, and answers 503 to the others. */
const WRITES_AT_ONCE = 4;
/** Clean-up and delivery of a run mostly end within this time: one write notes both. */
const GATHER_MS = 100;

interface Note {
  labels: Record<string, string>;
  written: Promise<void>;
}

/**
 * Writes labels of runs: of one run one after the other, because Prefect reads all of them, changes some and writes all
 * back - two at once may lose one.
 */
export class Notes {
  private readonly turns = pLimit(WRITES_AT_ONCE);
  /** By run: the note that gathers labels, and the last one before it. */
  private readonly gathering = new Map<string, Note>();
  private readonly last = new Map<string, Promise<void>>();

  constructor(private readonly client: PrefectClient) {}

  /** `PATCH /flow_runs/{id}/labels`, a moment later, with what else comes for the run until then. @throws UpstreamError */
  add(id: string, labels: Record<string, string>): Promise<void> {
    const gathering = this.gathering.get(id);
    if (gathering) {
      Object.assign(gathering.labels, labels);
      return gathering.written;
    }
    const note = { labels: { ...labels }, written: Promise.resolve() };
    this.gathering.set(id, note);
    note.written = this.write(id, note);
    this.last.set(id, note.written);
    return note.written;
  }

  private async write(id: string, note: Note): Promise<void> {
    const before = this.last.get(id);
    await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
    await before?.catch(() => undefined);
    try {
      await this.turns(() => {
        this.gathering.delete(id);
        return addLabels(this.client.session(), id, note.labels);
      });
    } finally {
      if (this.last.get(id) === note.written) this.last.delete(id);
    }
  }
}
