import { type IncomingMessage, type Server } from 'node:http';
import { type Duplex } from 'node:stream';
import { type AccessOptions } from './access.js';
import { type EventFilter, eventFilter, eventTest } from './event-filter.js';
import { type Event, eventView } from './events.js';
import { isObj, parseJson, toJson } from './json.js';
import { type State } from './state.js';
import { now } from './time.js';
import { type Problem } from './validate.js';
import { type WebSocketConnection, acceptWebSocket } from './websocket.js';

const PATH = '/api/events/out';
const LONGEST_BACKFILL = 15 * 60 * 1_000_000;
const PROTOCOL_ERROR = 1002;
const POLICY_VIOLATION = 1008;

/** What goes wrong with events. `reset()` of the mock ends refusing and swallowing. */
export interface EventFaults {
  /** Destroys every open websocket. */
  cut(): void;
  /** While true, new websockets are reset. */
  refuse(on: boolean): void;
  /** While true, state changes make no event, ever, as when the server dies right after them. */
  swallow(on: boolean): void;
  /** Websockets that said what they want, and will get what comes. */
  listening(): number;
}

/** `/api/events/out`. @param unexpected takes upgrades of any other path */
export function serveEventsOut(
  server: Server,
  state: State,
  options: AccessOptions,
  unexpected: string[],
): EventFaults {
  const open = new Set<WebSocketConnection>();
  let refusing = false;
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const protocol = agreed(request, state);
    const locked = secret(options) !== undefined && protocol === undefined;
    if (path !== PATH) unexpected.push(`GET ${path} (websocket)`);
    if (refusing) {
      socket.destroy();
    } else if (path !== PATH || locked) {
      socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
    } else {
      const connection = acceptWebSocket(request, socket, protocol);
      open.add(connection);
      const end = converse(connection, state, protocol === undefined ? undefined : options);
      connection.onClose = () => {
        open.delete(connection);
        end();
      };
    }
  });
  return {
    cut: () => {
      for (const connection of open) connection.destroy();
    },
    refuse: (on) => {
      refusing = on;
    },
    swallow: (on) => {
      state.events.swallowing = on;
    },
    listening: () => state.events.listening,
  };
}

function secret({ authString, apiKey }: AccessOptions): string | undefined {
  return authString ?? apiKey;
}

/** The older server takes no blanks between the names. */
function agreed(request: IncomingMessage, state: State): string | undefined {
  const names = (request.headers['sec-websocket-protocol'] ?? '').split(',');
  return names.some((name) => (state.old ? name : name.trim()) === 'prefect') ? 'prefect' : undefined;
}

/** @param access none for old clients, which know no authentication. @returns ends the listening */
function converse(
  connection: WebSocketConnection,
  state: State,
  access: AccessOptions | undefined,
): () => void {
  let stop = () => {};
  const listen = (text: string) => {
    const filter = filterOf(connection, text);
    if (filter === undefined) return;
    connection.onMessage = () => undefined;
    stop = stream(connection, state, filter.filter, filter.backfill);
  };
  connection.onMessage =
    access === undefined
      ? listen
      : (text) => {
          const trouble = authTrouble(connection, text, secret(access));
          if (trouble === undefined) return;
          if (trouble !== '') {
            connection.close(POLICY_VIOLATION, trouble);
            return;
          }
          connection.send(toJson({ type: 'auth_success' }));
          connection.onMessage = listen;
        };
  return () => {
    stop();
  };
}

/** A message that is no JSON object ends the server's handler, and with it the connection. */
function objectOf(connection: WebSocketConnection, text: string): Record<string, unknown> | undefined {
  try {
    const value = parseJson(text);
    if (isObj(value)) return value;
  } catch {
    // As below.
  }
  connection.destroy();
  return undefined;
}

/** @returns empty where the client may pass, nothing where it is gone already */
function authTrouble(
  connection: WebSocketConnection,
  text: string,
  wanted: string | undefined,
): string | undefined {
  const message = objectOf(connection, text);
  if (message === undefined) return undefined;
  if (message['type'] !== 'auth') return "Expected 'auth' message";
  const token = message['token'];
  if (wanted === undefined) return '';
  if (typeof token !== 'string' || token === '') return 'Auth required but no token provided';
  return token === wanted ? '' : 'Invalid token';
}

function filterOf(
  connection: WebSocketConnection,
  text: string,
): { filter: EventFilter; backfill: boolean } | undefined {
  const message = objectOf(connection, text);
  if (message === undefined) return undefined;
  if (!('type' in message)) connection.destroy();
  else if (message['type'] !== 'filter') connection.close(PROTOCOL_ERROR, "Expected 'filter' message");
  else if (!('filter' in message)) connection.close(PROTOCOL_ERROR, "Invalid filter: 'filter'");
  else {
    const problems: Problem[] = [];
    const filter = eventFilter.parse(message['filter'], [], problems);
    if (problems.length === 0) return { filter, backfill: Boolean(message['backfill'] ?? true) };
    // The explanation is longer than a closing frame can be: the server fails over it.
    connection.destroy();
  }
  return undefined;
}

function stream(
  connection: WebSocketConnection,
  state: State,
  filter: EventFilter,
  backfill: boolean,
): () => void {
  const { since, until } = filter.occurred;
  const clamped = { ...filter, occurred: { since: Math.max(since, now() - LONGEST_BACKFILL), until } };
  const send = (event: Event) => {
    connection.send(toJson({ type: 'event', event: eventView(event) }));
  };
  if (backfill) {
    const past = state.events.all.filter(eventTest(clamped, true));
    for (const event of past.sort((a, b) => a.occurred - b.occurred)) send(event);
  }
  const wanted = eventTest(clamped, false);
  return state.events.listen((event) => {
    if (wanted(event)) send(event);
  });
}
