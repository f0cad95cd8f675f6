import { randomUUID } from 'node:crypto';
import { Channel, DEFAULT_CHANNEL } from '../../../src/services/settlement/channel.js';
import { LABELS } from '../../../src/services/settlement/progress.js';
import { MemoryFacade } from './memory-facade.js';
import { MemoryHost, type HostAnswer } from './memory-host.js';
import { MemoryOrchestrator, type CallFate, type EndType, type MemoryRun } from './memory-orchestrator.js';
import { pass } from './virtual-time.js';

const { labels: NOTED } = new Channel(DEFAULT_CHANNEL);

/** Something that happens. Runs and instances are named by their number; `again`: also to a run that has ended. */
export type Step =
  | { kind: 'start' }
  | { kind: 'end'; run: number; type: EndType; again: boolean }
  | { kind: 'retry'; run: number }
  | { kind: 'hint'; instance: number; run: number; state: 'present' | 'none' | 'wrong' }
  | { kind: 'stranger'; instance: number }
  | { kind: 'call'; of: string; fate: CallFate }
  | { kind: 'calls'; fates: (CallFate | 'well')[] }
  | { kind: 'answers'; answers: HostAnswer[] }
  | { kind: 'mood'; run: number; mood: HostAnswer }
  | { kind: 'kill' | 'close' | 'boot'; instance: number }
  | { kind: 'pass'; seconds: number }
  | { kind: 'variable'; value: unknown };

const GRACE = 60;
const INTERVAL = 60;
/** What a delivery that always fails takes at least: the whole schedule, with the jitter that shortens it. */
const ATTEMPTS = 11;
const LAST_ATTEMPT_AFTER = 0.8 * (5 + 30 + 120 + 600 + 1_800 + 3_600 + 7_200 + 18_000 + 36_000 + 36_000);

/** An orchestrator, a host and up to two facades, and all that may happen to them. */
export class World {
  readonly orchestrator = new MemoryOrchestrator(GRACE);
  readonly host = new MemoryHost();
  private readonly facades: (MemoryFacade | undefined)[] = [undefined, undefined];

  /** @param lookbackSeconds the facades' RECONCILE_LOOKBACK */
  constructor(private readonly lookbackSeconds: number) {
    this.orchestrator.start();
    this.boot(0);
  }

  async take(step: Step): Promise<void> {
    await this.happen(step);
    await pass(0.002);
  }

  /**
   * From here all is well; time passes until all is done, or for a day.
   * @param restart whether it begins with a kill of all instances: only what is stored counts then
   */
  async heal(restart: boolean): Promise<void> {
    if (restart) for (const facade of this.facades) facade?.kill();
    this.orchestrator.fates = [];
    this.orchestrator.fatesOf.clear();
    this.host.answers = [];
    this.host.moods.clear();
    for (const instance of [0, 1]) this.boot(instance);
    for (let hours = 0; hours < 24 && this.wrongs().length > 0; hours += 0.5) await pass(1_800);
    for (const facade of this.facades) facade?.kill();
  }

  /** What should not be, one line each. */
  wrongs(): string[] {
    const { runs, ends, stolen } = this.orchestrator;
    const strangers = [...this.host.told.keys()].filter((id) => !ends.has(id));
    return [
      ...stolen.map((what) => `taken from a run that may need it: ${what}`),
      ...strangers.map((id) => `the host was told of ${id}, which never was`),
      ...[...runs.values()].filter((run) => run.end_time !== null).flatMap((run) => this.wrongWith(run)),
    ];
  }

  private wrongWith(run: MemoryRun): string[] {
    const { held, slots } = this.orchestrator;
    const who = `${run.name} (${run.state.type})`;
    const holds = [...held.values()].filter((holder) => holder === run.id).length;
    const hasSlot = run.state.type !== 'COMPLETED' && [...slots.values()].includes(run.id);
    return [
      ...(holds > 0 ? [`${who} still holds ${holds} things`] : []),
      ...(hasSlot ? [`${who} still holds a slot`] : []),
      ...(run.labels[LABELS.cleaned] === run.state.id ? [] : [`${who} is not noted as cleaned`]),
      ...this.wrongNews(run, `${run.id}:${run.state.id}`).map((what) => `${who} ${what}`),
    ];
  }

  private wrongNews(run: MemoryRun, id: string): string[] {
    const isSettled = run.labels[NOTED.settled] === run.state.id;
    if (isSettled) {
      const text = this.host.told.get(id) ?? '';
      return text.includes(`${run.name} with id ${run.id}`) ? [] : [`was never told, and is noted as told`];
    }
    const attempts = this.host.attempts.get(id) ?? [];
    if (attempts.some(({ answer }) => answer === '410')) return [];
    const took = (attempts.at(-1)?.at ?? 0) - (attempts[0]?.at ?? 0);
    if (attempts.length >= ATTEMPTS && took >= LAST_ATTEMPT_AFTER) return [];
    return [
      `was not told: ${run.labels[NOTED.delivery] ?? 'nothing noted'}, ${attempts.length} attempts in ${took} s`,
    ];
  }

  private async happen(step: Step): Promise<void> {
    const { orchestrator, host } = this;
    switch (step.kind) {
      case 'start':
        orchestrator.start();
        return;
      case 'end':
        if (step.again || this.run(step.run).end_time === null)
          orchestrator.end(this.run(step.run), step.type);
        return;
      case 'retry':
        if (this.run(step.run).end_time !== null) orchestrator.retry(this.run(step.run));
        return;
      case 'hint': {
        const { id, state } = this.run(step.run);
        const stateId = { present: state.id, none: undefined, wrong: randomUUID() }[step.state];
        this.facades[step.instance]?.hint({ flowRunId: id, ...(stateId ? { stateId } : {}) });
        return;
      }
      case 'stranger':
        this.facades[step.instance]?.hint({ flowRunId: randomUUID() });
        return;
      case 'call':
        orchestrator.fatesOf.set(step.of, step.fate);
        return;
      case 'calls':
        orchestrator.fates.push(...step.fates);
        return;
      case 'answers':
        host.answers.push(...step.answers);
        return;
      case 'mood':
        host.moods.set(this.run(step.run).id, step.mood);
        return;
      case 'kill':
        this.facades[step.instance]?.kill();
        return;
      case 'close':
        void this.facades[step.instance]?.close();
        return;
      case 'boot':
        this.boot(step.instance);
        return;
      case 'pass':
        return pass(step.seconds);
      case 'variable':
        if (step.value === undefined) orchestrator.variables.clear();
        else orchestrator.variables.set('prefect_proxy_reconciler', step.value);
    }
  }

  /** A run by its number; the last one where there are not so many. */
  private run(number: number): MemoryRun {
    const runs = [...this.orchestrator.runs.values()];
    const run = runs[Math.min(number, runs.length - 1)];
    if (!run) throw new Error('no run');
    return run;
  }

  /** Starts an instance, unless it runs. */
  private boot(number: number): void {
    const old = this.facades[number];
    if (old && !old.life.isDead) return;
    old?.kill();
    this.facades[number] = new MemoryFacade({
      name: `facade ${number}`,
      orchestrator: this.orchestrator,
      host: this.host,
      graceSeconds: GRACE,
      intervalSeconds: INTERVAL,
      lookbackSeconds: this.lookbackSeconds,
    });
  }
}
