import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { ping, WebSocket, type Dispatcher } from 'undici';
import { z } from 'zod';
import { jsonOrText } from '../json.js';
import { createPool, type Network } from '../lib/outbound.js';
import { TERMINAL } from './ended-runs.js';
import { readStateChange, type StateChange } from './state-change.js';
import { authorizationHeaders } from './transport.js';

export interface EventStreamOptions {
  /** The orchestrator's API root, ending in `/api`. */
  apiUrl: string;
  apiKey?: string | undefined;
  authString?: string | undefined;
  /** Sent with the handshake, with names in lower case; our own headers win. */
  customHeaders?: Record<string, string> | undefined;
  network?: Network | undefined;
  /** Takes each event: a run has ended, or entered a state of another of `stateTypes`. */
  onEnded: (event: { flowRunId: string; stateId: string; end?: StateChange }) => void;
  /** Takes the first state of each run, if it is wanted: what it tells of the run holds although its parent may go. */
  onCreated?: ((event: { flowRunId: string; isSubflow: boolean }) => void) | undefined;
  /** Is told when the stream is there, and when it is lost and why. */
  onChange: (isOpen: boolean, reason: string) => void;
  /** The types of the states that are told of; the terminal ones where it is not given. */
  stateTypes?: readonly string[];
  /** Whether what came within the last minutes comes again after each connection; so it is where it is not given. */
  backfill?: boolean;
}

/** The server keeps 15 minutes; our clock and its need not agree. */
const BACKFILL_MS = 5 * 60_000;
const YEAR_MS = 365 * 24 * 3_600_000;
/** A lost connection is noticed after two of them at most. */
const PING_MS = 4_000;
const HANDSHAKE_MS = 10_000;
/** Doubled with each failure. */
const FIRST_DELAY_MS = 500;
const LAST_DELAY_MS = 30_000;

const RUN = 'prefect.flow-run.';
const message = z.discriminatedUnion('type', [
  z.object({ type: z.literal('auth_success') }),
  z.object({ type: z.literal('auth_failure') }),
  z.object({
    type: z.literal('event'),
    event: z.looseObject({
      id: z.string(),
      resource: z.looseObject({
        'prefect.resource.id': z.string().startsWith(RUN),
        'prefect.state-type': z.string().optional(),
      }),
      related: z.array(z.looseObject({ 'prefect.resource.role': z.string().optional() })).default([]),
      payload: z.looseObject({ initial_state: z.unknown().optional() }).optional(),
    }),
  }),
]);

type RunEvent = Extract<z.infer<typeof message>, { type: 'event' }>['event'];

/** Runs are made in states of these types. */
const FIRST_TYPES = ['SCHEDULED', 'PENDING'];

/**
 * `/events/out`: flow runs that reach a terminal (or another) state, within some milliseconds. Events may be dropped (a backlog beyond
 * 256, a server killed in the wrong moment): a fast hint, never the truth.
 */
export class EventStream {
  /** Whether it is connected, and how often it was and was not any more. */
  readonly numbers = { isOpen: false, connections: 0, losses: 0 };
  private socket: WebSocket | undefined;
  private timer: NodeJS.Timeout | undefined;
  private failures = 0;
  private isClosed = false;

  private readonly dispatcher: Dispatcher;
  /** The code of the connection's last failure: the websocket's own error does not say it. */
  private failure: string | undefined;

  constructor(private readonly options: EventStreamOptions) {
    const { apiUrl, network = {} } = options;
    this.dispatcher = createPool(new URL(apiUrl), network, { connectTimeout: HANDSHAKE_MS }, true);
    this.dispatcher.on('connectionError', (_origin, _targets, error) => {
      this.failure = 'code' in error ? error.code : undefined;
    });
  }

  /** Connects, and again whenever the connection is lost. */
  open(): void {
    this.isClosed = false;
    this.connect();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.socket?.close();
    this.socket = undefined;
    this.numbers.isOpen = false;
  }

  private connect(): void {
    const { apiUrl, customHeaders } = this.options;
    this.failure = undefined;
    const socket = new WebSocket(`${apiUrl.replace(/^http/, 'ws')}/events/out`, {
      protocols: 'prefect',
      dispatcher: this.dispatcher,
      // A proxy in between may ask for it, before the server reads the message below.
      headers: { ...customHeaders, ...authorizationHeaders(this.options) },
    });
    this.socket = socket;
    const stopPings = keepAlive(socket, () => {
      this.lost(socket, 'no answer');
    });
    // A server or proxy may take the connection and never answer.
    const handshake = setTimeout(() => {
      this.lost(socket, 'no answer');
    }, HANDSHAKE_MS);
    const send = (value: unknown) => {
      socket.send(JSON.stringify(value));
    };
    socket.addEventListener('open', () => {
      // The server closes a socket whose token is wrong; without authentication it takes null.
      send({ type: 'auth', token: this.options.authString ?? this.options.apiKey ?? null });
    });
    socket.addEventListener('message', ({ data }) => {
      const parsed = message.safeParse(typeof data === 'string' ? jsonOrText(data) : undefined);
      if (!parsed.success) return;
      if (parsed.data.type === 'event') this.passOn(parsed.data.event);
      else if (parsed.data.type === 'auth_success') {
        clearTimeout(handshake);
        send(wanted(this.options));
        this.failures = 0;
        this.numbers.isOpen = true;
        this.numbers.connections += 1;
        this.options.onChange(true, 'connected');
      } else this.lost(socket, 'authentication refused');
    });
    const onEnd = () => {
      stopPings();
      clearTimeout(handshake);
      this.lost(socket, this.failure ?? 'closed');
    };
    socket.addEventListener('close', onEnd);
    socket.addEventListener('error', onEnd);
  }

  private passOn(event: RunEvent): void {
    const { id, resource, related, payload } = event;
    const { onEnded, onCreated, stateTypes = TERMINAL } = this.options;
    const flowRunId = resource['prefect.resource.id'].slice(RUN.length);
    if (onCreated) {
      const isSubflow = related.some((one) => one['prefect.resource.role'] === 'task-run');
      if (isSubflow || payload?.initial_state === null) onCreated({ flowRunId, isSubflow });
      if (!stateTypes.some((type) => type === resource['prefect.state-type'])) return;
    }
    const end = readStateChange(event);
    onEnded({ flowRunId, stateId: id, ...(end ? { end } : {}) });
  }

  private lost(socket: WebSocket, reason: string): void {
    if (this.socket !== socket) return;
    this.socket = undefined;
    socket.close();
    if (this.isClosed) return;
    this.numbers.isOpen = false;
    this.numbers.losses += 1;
    this.options.onChange(false, reason);
    const delay = Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.failures) * (0.5 + Math.random() / 2);
    this.failures += 1;
    this.timer = setTimeout(() => {
      this.connect();
    }, delay);
  }
}

/** Without `until` nothing comes; `related` would be ignored. */
function wanted({ stateTypes = TERMINAL, onCreated, backfill = true }: EventStreamOptions) {
  const now = Date.now();
  const types = onCreated ? [...FIRST_TYPES, ...stateTypes] : stateTypes;
  return {
    type: 'filter',
    backfill,
    filter: {
      occurred: {
        since: new Date(now - BACKFILL_MS).toISOString(),
        until: new Date(now + YEAR_MS).toISOString(),
      },
      event: { prefix: [RUN] },
      resource: { labels: { 'prefect.state-type': types } },
    },
  };
}

const PONG = 'undici:websocket:pong';

/** A connection may die without a word (a firewall that forgot it): pings find out. @returns what ends them */
function keepAlive(socket: WebSocket, onSilence: () => void): () => void {
  let isAnswered = true;
  const onPong = (pong: unknown) => {
    if (typeof pong === 'object' && pong && 'websocket' in pong && pong.websocket === socket)
      isAnswered = true;
  };
  subscribe(PONG, onPong);
  const timer = setInterval(() => {
    if (!isAnswered) onSilence();
    else if (socket.readyState === WebSocket.OPEN) {
      isAnswered = false;
      ping(socket);
    }
  }, PING_MS);
  return () => {
    clearInterval(timer);
    unsubscribe(PONG, onPong);
  };
}
