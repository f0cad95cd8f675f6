import type { Logger } from '../../logger.js';
import type { PrefectClient } from '../../prefect/client.js';
import { isEnded, parseRun, type EndedRun, type Run } from '../../prefect/ended-runs.js';
import { UpstreamError } from '../../prefect/errors.js';
import { asTrace, type Tracing } from '../../telemetry/tracing.js';
import type { Hint } from '../hints.js';
import type { RunPoller } from '../poll.js';
import { Agenda, type Task } from './agenda.js';
import type { Channel } from './channel.js';
import { Latest } from './latest.js';
import type { Notes } from './notes.js';
import { progressOf, type Progress } from './progress.js';

export interface DeskDeps {
  client: PrefectClient;
  poller: RunPoller;
  notes: Notes;
  channel: Channel;
  logger: Logger;
  tracing?: Tracing | undefined;
}

/** What a step leaves: labels to write, and seconds after which it has to be done again. */
export interface Step {
  labels?: Record<string, string>;
  again?: number | undefined;
}

/** One of the two things that settlement does with a run that has ended. */
export interface Work {
  /** As traces name it. */
  name: string;
  isDone: (progress: Progress) => boolean;
  /** Whether the other thing is done. */
  isOtherDone: (progress: Progress) => boolean;
  step: (run: EndedRun, progress: Progress, task: Task) => Promise<Step>;
  /** What is done for a run that is gone, or (`isUnreadable`) that Prefect cannot show. Nothing if it is not given. */
  missing?: (id: string, isUnreadable: boolean, task: Task) => Promise<MissingStep>;
}

/** What a step for a missing run leaves. */
export interface MissingStep extends Step {
  /** The state that was settled; none if there is nothing to settle. */
  stateId?: string | undefined;
}

/** A hint may come before the state can be read: milliseconds after which the run is read again. */
const RECHECKS_MS = [250, 1_000, 4_000];
const NOTE_AGAIN_MS = 5_000;
/** Failures in a row with which a run that alone is answered with a 500 counts as one that cannot be shown. */
const UNREADABLE_FAILURES = 2;
/** Seconds after which a desk that is not open yet looks again. */
const OPEN_YET_SECONDS = 1;

/** `waiting`: it is not known yet whether this desk is to work. `closed`: another instance does all of its work. */
export type Gate = 'open' | 'waiting' | 'closed';

/**
 * Does one thing for each run that has ended, as long as it takes: reads the run (a hint is never believed), does the
 * work, notes it in the run's labels.
 */
export class Desk {
  private readonly agenda: Agenda;
  private readonly finished = new Latest<string>();
  /** Labels that are being written, with the end of the run they are of; the last of each run. */
  private readonly unwritten = new Map<Promise<void>, string>();
  private readonly beingNoted = new Map<string, Promise<void>>();
  private gate: Gate = 'open';

  constructor(
    private readonly deps: DeskDeps,
    private readonly work: Work,
  ) {
    this.agenda = new Agenda(
      (id, task) => asTrace(deps.tracing, work.name, () => this.handle(id, task)),
      (id, error) => {
        deps.logger.warn('settlement failed', { flow_run: id, error: wordOf(error) });
      },
    );
  }

  /** Takes a hint; the run is read when its turn comes. */
  hint({ flowRunId, stateId, end, replay }: Hint, delayMs: number): void {
    if (this.gate === 'closed') return;
    if (stateId !== undefined && this.finished.get(flowRunId) === stateId) return;
    this.agenda.add(flowRunId, { stateId, end, replay, rechecks: RECHECKS_MS.length }, delayMs);
  }

  /** Takes a run that a sweep found unfinished: until it is finished, `openSince` counts it. */
  found(run: EndedRun, delayMs: number): void {
    if (this.gate === 'closed' || this.isDone(run)) return;
    this.agenda.add(run.id, { stateId: run.state.id, rechecks: 0, endTime: run.end_time }, delayMs);
  }

  /** Lets it work, or not. What comes to a closed desk is forgotten: a sweep finds it when it opens again. */
  setGate(gate: Gate): void {
    this.gate = gate;
  }

  /** Whether nothing is left to do for a run's present state, as its labels say. */
  isDone(run: EndedRun): boolean {
    return this.work.isDone(progressOf(run, this.deps.channel));
  }

  /** Does at once what waits. */
  hurryAll(): void {
    this.agenda.hurryAll();
  }

  /** Does one of those that wait at once. */
  hurryAny(): void {
    this.agenda.hurryAny();
  }

  /** How many runs are not finished, and the earliest end among them, ISO, as far as known. */
  get waiting(): { runs: number; since: string | undefined } {
    return { runs: this.agenda.size, since: this.agenda.earliestEnd() };
  }

  /** The earliest end of a run that is not finished, as far as known. */
  openSince(): string | undefined {
    const open = [this.agenda.earliestEnd(), ...this.unwritten.values()];
    return open.filter((time) => time !== undefined).sort()[0];
  }

  /** Starts nothing new and waits for what is under way. */
  async close(): Promise<void> {
    await this.agenda.close();
    await Promise.all(this.unwritten.keys());
  }

  /** @returns seconds after which the run is looked at again; undefined where nothing is left to do */
  private async handle(id: string, task: Task): Promise<number | undefined> {
    if (this.gate !== 'open') return this.gate === 'waiting' ? OPEN_YET_SECONDS : undefined;
    const isBeingNoted = this.beingNoted.has(id);
    const run = await this.read(id, task);
    if (run === 'gone' || run === 'unreadable') return this.handleMissing(id, run === 'unreadable', task);
    if (run.parent_task_run_id !== null) return undefined;
    if (!isEnded(run)) {
      if (task.rechecks === 0) return undefined;
      task.rechecks -= 1;
      return (RECHECKS_MS.at(-1 - task.rechecks) ?? 0) / 1000;
    }
    task.endTime = run.end_time;
    task.stateId = run.state.id;
    const progress = progressOf(run, this.deps.channel);
    const isDone = this.work.isDone(progress);
    const isFinished = this.finished.get(id) === run.state.id;
    // What is finished and not noted is noted again: of two instances that write labels at once, one loses.
    if (!task.replay && isFinished && (isDone || isBeingNoted)) return undefined;
    if (task.replay || !isDone) {
      const { labels, again } = await this.work.step(run, progress, task);
      if (labels) this.note(run, labels, this.work.isOtherDone(progress));
      if (again !== undefined) return again;
    }
    this.finished.set(id, run.state.id);
    return undefined;
  }

  private async handleMissing(id: string, isUnreadable: boolean, task: Task): Promise<number | undefined> {
    const known = this.finished.get(id);
    // Of a run that is gone no other state comes, unless a source has reported one.
    if (known !== undefined && !task.replay && (!task.end || task.end.state.id === known)) return undefined;
    const { labels, again, stateId } = (await this.work.missing?.(id, isUnreadable, task)) ?? {};
    if (again !== undefined) return again;
    if (stateId !== undefined) this.finished.set(id, stateId);
    // Labels can be written to a run that cannot be shown, for the day on which it can.
    if (labels && isUnreadable) void this.deps.notes.add(id, labels, true).catch(() => undefined);
    return undefined;
  }

  /** Remembers that a state is settled of which no label tells. */
  remember(id: string, stateId: string): void {
    this.finished.set(id, stateId);
  }

  /** Writes labels beside what comes next: a busy orchestrator must not hold up the news of a second end. */
  private note(run: EndedRun, labels: Record<string, string>, isLast: boolean): void {
    const written = this.deps.notes.add(run.id, labels, isLast).catch((error: unknown) => {
      this.finished.delete(run.id);
      this.deps.logger.warn('settlement not noted', { flow_run: run.id, error: wordOf(error) });
      this.agenda.add(run.id, { stateId: undefined, rechecks: 0, endTime: run.end_time }, NOTE_AGAIN_MS);
    });
    this.unwritten.set(written, run.end_time);
    this.beingNoted.set(run.id, written);
    void written.finally(() => {
      this.unwritten.delete(written);
      if (this.beingNoted.get(run.id) === written) this.beingNoted.delete(run.id);
    });
  }

  private async read(id: string, { failures }: Task): Promise<Run | 'gone' | 'unreadable'> {
    try {
      return parseRun(await this.deps.poller.pollAfresh(this.deps.client.session(), id));
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      if (error.isNotFound) return 'gone';
      if (error.answered(500) && failures >= UNREADABLE_FAILURES) return 'unreadable';
      throw error;
    }
  }
}

/** An upstream error's message is safe to log; another one's may hold anything. */
export function wordOf(error: unknown): string {
  if (error instanceof UpstreamError) return error.message;
  return error instanceof Error ? error.name : 'error';
}
