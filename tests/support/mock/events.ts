import { type Obj } from './json.js';
import { type Micros, formatTime, now } from './time.js';

/** One entry of the orchestrator's log of events. */
export interface Event {
  occurred: Micros;
  event: string;
  resource: Obj;
  related: Obj[];
  payload: Obj;
  id: string;
  follows: string | null;
  received: Micros;
}
export type NewEvent = Omit<Event, 'received'>;
type Listener = (event: Event) => void;

/** What was emitted, in the order of its coming, and who wants to hear of more. */
export class Events {
  readonly all: Event[] = [];
  private readonly listeners = new Set<Listener>();
  /** While true, events are lost, as when the server dies between a state change and its event. */
  swallowing = false;

  add(event: NewEvent): void {
    if (this.swallowing) return;
    const received = { ...event, received: now() };
    this.all.push(received);
    for (const listen of this.listeners) listen(received);
  }

  /** @returns ends it */
  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get listening(): number {
    return this.listeners.size;
  }
}

export function eventView(event: Event): Obj {
  return { ...event, occurred: formatTime(event.occurred), received: formatTime(event.received) };
}
