import type { Context } from 'hono';
import { Admission, NotAdmitted, type Priority } from '../admission.js';
import { AppError } from '../errors.js';
import type { Contract, InputShape } from './contract.js';
import { hangUpSignal, type Env } from './env.js';
import { endedBefore } from './in-flight.js';

export interface DoorLimits {
  /** Requests that are worked on at once. */
  inFlight: number;
  /** Requests that wait until there is room for them, and for how long at most. */
  queued: number;
  queueSeconds: number;
  /** Requests that take long and cost little: those of routes that wait for a run. */
  waiters: number;
}

/** The way in of one route's requests. */
export interface Door {
  priority: Priority;
  /** Lets a request in at once where there is room. */
  tryEnter(): boolean;
  /**
   * Waits for room.
   * @returns milliseconds
   * @throws AppError 503 where there is none in time or too many wait; 499 where the host hangs up
   */
  wait(c: Context<Env>): Promise<number>;
  /** Once for each request that was let in. */
  leave(c: Context<Env>): void;
}

export interface DoorNumbers {
  underWay: number;
  waiting: number;
  /** Requests under way that wait for a run. */
  longWaits: number;
  refused: number;
}

/** Retry-After, in seconds. How many are sent away each second is bounded by how many may wait. */
const AGAIN_SECONDS = 1;

/** How many requests this process takes on, in which order, and when it says no. */
export class Doors {
  private readonly requests: Admission;
  private readonly waiters: Admission;
  private refused = 0;

  constructor(private readonly limits: DoorLimits) {
    this.requests = new Admission({ slots: limits.inFlight, waiting: limits.queued });
    this.waiters = new Admission({ slots: limits.waiters, waiting: 0 });
  }

  /** What is going on at this moment, and how many were sent away since the start. */
  get numbers(): DoorNumbers {
    const { underWay, waiting } = this.requests;
    return { underWay, waiting, longWaits: this.waiters.underWay, refused: this.refused };
  }

  /** The door of a route. What changes something goes before what reads, where the contract says nothing else. */
  of<I extends InputShape>({ method, priority, waits }: Contract<I>): Door {
    const rank = priority ?? (method === 'get' ? 'normal' : 'high');
    return waits ? this.waitersDoor(rank) : this.requestsDoor(rank);
  }

  /** Sends all away who wait for their turn: the service ends. */
  close(): void {
    this.requests.refuseAll();
  }

  private requestsDoor(priority: Priority): Door {
    const { requests } = this;
    return {
      priority,
      tryEnter: () => requests.tryEnter(priority),
      wait: async (c) => {
        const began = performance.now();
        // Those who came together do not leave together, nor come again so.
        const patienceMs = this.limits.queueSeconds * (500 + 500 * Math.random());
        try {
          await requests.wait(priority, { patienceMs, gone: hangUpSignal(c) });
        } catch (error) {
          throw error instanceof NotAdmitted ? this.refusal(error) : error;
        }
        return performance.now() - began;
      },
      leave: () => {
        requests.leave(priority);
      },
    };
  }

  private waitersDoor(priority: Priority): Door {
    const leave = () => {
      this.waiters.leave('high');
    };
    return {
      priority,
      // Among those who wait nobody is more urgent.
      tryEnter: () => this.waiters.tryEnter('high'),
      wait: () => Promise.reject(this.overloaded('Too many requests wait for runs: ask again')),
      // A stream goes on after its handler.
      leave: ({ env: { outgoing } }) => {
        if (outgoing && !outgoing.closed) outgoing.once('close', leave);
        else leave();
      },
    };
  }

  private refusal({ reason }: NotAdmitted): AppError {
    if (reason === 'gone') return new AppError('client_gone', 'The host hung up');
    if (reason === 'closed') return endedBefore();
    return this.overloaded('Too many requests at once: ask again');
  }

  private overloaded(detail: string): AppError {
    this.refused += 1;
    return new AppError('overloaded', detail, { retryAfterSeconds: AGAIN_SECONDS });
  }
}
