import pLimit from 'p-limit';
import type { PrefectClient } from '../../prefect/client.js';
import { addLabels } from '../../prefect/ended-runs.js';

/** SQLite has one writer, and answers 503 to the others. */
const WRITES_AT_ONCE = 4;
/**
 * Milliseconds for which a note waits for the other one of its run, so that one write has both. A kill in between means
 * that the host is notified again, under the same id.
 */
const GATHER_MS = 2_000;

interface Note {
  labels: Record<string, string>;
  /** How many parts of settlement have added to it. */
  parts: number;
  /** Ends the waiting. */
  hurry: () => void;
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
  private isClosing = false;

  /** @param parts how many parts of settlement note what they did for a run: delivery and clean-up */
  constructor(
    private readonly client: PrefectClient,
    private readonly parts: number,
  ) {}

  /**
   * `PATCH /flow_runs/{id}/labels`, with what the other part of settlement notes about the run.
   * @param isLast the other part is done with the run: there is nothing to wait for
   * @throws UpstreamError
   */
  add(id: string, labels: Record<string, string>, isLast: boolean): Promise<void> {
    const note = this.gathering.get(id) ?? this.begin(id);
    Object.assign(note.labels, labels);
    note.parts += 1;
    if (note.parts >= this.parts || isLast || this.isClosing) note.hurry();
    return note.written;
  }

  /** From now on nothing waits for the other part. */
  close(): void {
    this.isClosing = true;
    for (const note of this.gathering.values()) note.hurry();
  }

  private begin(id: string): Note {
    const { promise, hurry } = waitAtMost(GATHER_MS);
    const note: Note = { labels: {}, parts: 0, hurry, written: Promise.resolve() };
    this.gathering.set(id, note);
    note.written = this.write(id, note, promise);
    this.last.set(id, note.written);
    return note;
  }

  private async write(id: string, note: Note, gathered: Promise<void>): Promise<void> {
    const before = this.last.get(id);
    await gathered;
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

function waitAtMost(milliseconds: number): { promise: Promise<void>; hurry: () => void } {
  let hurry = () => {};
  const promise = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    hurry = () => {
      clearTimeout(timer);
      resolve();
    };
  });
  return { promise, hurry };
}
