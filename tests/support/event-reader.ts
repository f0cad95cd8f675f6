import { request } from 'undici';

export interface ReadEvent {
  event: string;
  id: string;
  data: unknown;
}

/** One who reads a stream of server-sent events. */
export class EventReader {
  readonly events: ReadEvent[] = [];
  readonly status: Promise<number>;
  /** Resolves when the stream is over, whoever ended it. */
  readonly ended: Promise<void>;
  /** Comments since the start. */
  comments = 0;
  /** What a reader sends as `Last-Event-ID` when it comes again. */
  lastId = '';
  private readonly hanging = new AbortController();
  private readonly wakers = new Set<() => void>();
  private isOver = false;

  constructor(url: string, lastEventId?: string) {
    const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
    const reply = request(url, { headers, signal: this.hanging.signal });
    this.status = reply.then(({ statusCode }) => statusCode);
    this.ended = reply
      .then(async ({ body }) => {
        let text = '';
        for await (const part of body) {
          text += String(part);
          const whole = text.split('\n\n');
          text = whole.pop() ?? '';
          for (const block of whole) this.take(block);
        }
      })
      .catch(() => undefined)
      .then(() => {
        this.isOver = true;
        this.wake();
      });
  }

  hangUp(): void {
    this.hanging.abort();
  }

  /** Resolves with the first event that passes; fails where the stream ends before. */
  async until(test: (event: ReadEvent) => boolean): Promise<ReadEvent> {
    for (;;) {
      const found = this.events.find(test);
      if (found) return found;
      if (this.isOver) throw new Error(`The stream is over: ${JSON.stringify(this.events)}`);
      await new Promise<void>((resolve) => this.wakers.add(resolve));
    }
  }

  /** Resolves when the reader can come again after all that it has read. */
  async settled(): Promise<void> {
    while (!this.lastId.includes('_a_') && !this.isOver)
      await new Promise<void>((resolve) => this.wakers.add(resolve));
  }

  named(name: string): ReadEvent[] {
    return this.events.filter(({ event }) => event === name);
  }

  messages(): string[] {
    return this.named('log').map(({ data }) => (data as { message: string }).message);
  }

  private take(block: string): void {
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
    const event = field('event');
    if (block.startsWith(':')) this.comments += 1;
    this.lastId = field('id') ?? this.lastId;
    if (event !== undefined)
      this.events.push({ event, id: field('id') ?? '', data: JSON.parse(field('data') ?? 'null') });
    this.wake();
  }

  private wake(): void {
    for (const wake of this.wakers) wake();
    this.wakers.clear();
  }
}
