import { HostWebhook, type Message, type Outcome } from '../../../src/host/webhook.js';
import { die, type Life } from './memory-orchestrator.js';

/** What the host does with a message: `late` takes it and answers too late, `killed` ends whoever sends. */
export type HostAnswer = '200' | '500' | '401' | '410' | 'late' | 'killed before' | 'killed after';

interface Attempt {
  /** Seconds. */
  at: number;
  answer: HostAnswer;
}

/** The host application, in memory; it outlives those who tell it things. */
export class MemoryHost {
  /** What was taken for true. */
  readonly told = new Map<string, string>();
  readonly attempts = new Map<string, Attempt[]>();
  /** Of the next messages, in order; then what is said of a run; then 200. */
  answers: HostAnswer[] = [];
  readonly moods = new Map<string, HostAnswer>();

  async take(life: Life, { id, body }: Message): Promise<Outcome> {
    await Promise.resolve();
    const next = this.answers.shift() ?? this.moods.get(id.split(':')[0] ?? '') ?? '200';
    const answer = life.isDead ? 'killed before' : next;
    if (answer === 'killed before') return die(life);
    this.attempts.set(id, [...(this.attempts.get(id) ?? []), { at: Date.now() / 1000, answer }]);
    if (['200', 'late', 'killed after'].includes(answer)) this.told.set(id, body);
    await Promise.resolve();
    if (answer === 'killed after') return die(life);
    if (answer === '200') return { ok: true, last: '200' };
    return { ok: false, last: answer, refused: answer === '401', gone: answer === '410' };
  }
}

/** A way to it, as one process has. */
export class MemoryWebhook extends HostWebhook {
  constructor(
    private readonly host: MemoryHost,
    private readonly life: Life,
  ) {
    super({ url: 'http://127.0.0.1:9', timeoutSeconds: 1, concurrency: 1 });
  }

  override deliver(message: Message): Promise<Outcome> {
    return this.host.take(this.life, message);
  }
}
