/** A request on its way. */
export interface Call {
  to: 'prefect' | 'host';
  method: string;
  path: string;
  body: string;
}

/** Sees each request before it goes on, and again when it was answered; true: it ends here. */
export interface Passage {
  before(call: Call): boolean;
  after(call: Call): boolean;
}

export interface KillPoint {
  name: string;
  when: 'before' | 'after';
  matches(call: Call): boolean;
}

const UUID = '[0-9a-f]{8}-[0-9a-f-]{27}';

const prefect =
  (method: string, pattern: string, inBody = '') =>
  (call: Call) =>
    call.to === 'prefect' &&
    call.method === method &&
    new RegExp(`^/api${pattern}$`).test(call.path) &&
    call.body.includes(inBody);

/** The steps of settlement, as requests that a proxy sees. */
const STEPS: [string, KillPoint['matches']][] = [
  [
    'run read',
    (call) =>
      prefect('GET', `/flow_runs/${UUID}`)(call) || prefect('POST', '/flow_runs/filter', '"any_":["')(call),
  ],
  ['host told', (call) => call.to === 'host'],
  ['labels written', prefect('PATCH', `/flow_runs/${UUID}/labels`)],
  ['block deleted', prefect('DELETE', `/block_documents/${UUID}`)],
  ['deployment deleted', prefect('DELETE', `/deployments/${UUID}`)],
  ['lease released', prefect('POST', '/v2/concurrency_limits/decrement-with-lease')],
  [
    'slot released',
    (call) =>
      prefect('POST', '/concurrency_limits/(decrement|tag/[^/]+/reset)')(call) ||
      prefect('POST', `/task_runs/${UUID}/set_state`)(call),
  ],
];

/** Before and after each step of settlement. */
export const KILL_POINTS: KillPoint[] = STEPS.flatMap(([step, matches]) =>
  (['before', 'after'] as const).map((when) => ({ name: `${when} "${step}"`, when, matches })),
);

/** Calls `kill` when a request passes the point that it waits for; then it waits for the next one, and begins anew. */
export class Killer implements Passage {
  /** Times each point was met. */
  readonly met = new Map<string, number>(KILL_POINTS.map(({ name }) => [name, 0]));
  private position = 0;
  private armedAt = Date.now();
  private lastKill = Date.now();
  private isArmed = true;
  private last: Promise<void> = Promise.resolve();

  /** @param kill ends the facade at once; resolves when it is back */
  constructor(private readonly kill: () => Promise<void>) {}

  before = (call: Call) => this.pass(call, 'before');
  after = (call: Call) => this.pass(call, 'after');

  /** Whether each point was met. */
  get isDone(): boolean {
    return this.missed.length === 0;
  }
  get missed(): string[] {
    return [...this.met].flatMap(([name, times]) => (times === 0 ? [name] : []));
  }
  get kills(): number {
    return [...this.met.values()].reduce((sum, times) => sum + times, 0);
  }

  /** Milliseconds since the facade was last killed, or came back from that. */
  get waits(): number {
    return this.isArmed ? Date.now() - this.lastKill : 0;
  }

  /** A point that does not come is left for later. */
  skipAfter(milliseconds: number): void {
    if (this.isArmed && Date.now() - this.armedAt > milliseconds) this.next();
  }

  private pass(call: Call, when: KillPoint['when']): boolean {
    const point = KILL_POINTS[this.position]!;
    if (!this.isArmed || point.when !== when || !point.matches(call)) return false;
    this.isArmed = false;
    this.met.set(point.name, (this.met.get(point.name) ?? 0) + 1);
    this.last = this.kill().then(() => {
      this.next();
      this.isArmed = true;
      this.lastKill = Date.now();
    });
    // Whoever waits until it is idle hears of it.
    this.last.catch(() => undefined);
    return true;
  }

  /** Resolves when no kill is under way; fails where the facade did not come back. */
  idle(): Promise<void> {
    return this.last;
  }

  private next(): void {
    const after = (steps: number) => (this.position + steps) % KILL_POINTS.length;
    const others = KILL_POINTS.map((_, index) => after(index + 1));
    // Those that were never met go first.
    this.position = others.find((index) => this.met.get(KILL_POINTS[index]!.name) === 0) ?? after(1);
    this.armedAt = Date.now();
  }
}
