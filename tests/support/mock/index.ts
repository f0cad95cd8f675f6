import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Access, type AccessOptions, access } from './access.js';
import { artifactRoutes } from './artifacts.js';
import { type Automation, automationRoutes } from './automations.js';
import { blockTypeRoutes } from './block-types.js';
import { blockRoutes } from './blocks.js';
import { deploymentRoutes } from './deployments.js';
import { eventLogRoutes } from './event-log.js';
import { type EventFaults, serveEventsOut } from './events-out.js';
import { flowRunRoutes } from './flow-runs.js';
import { flowRoutes } from './flows.js';
import { globalLimitRoutes } from './global-limits.js';
import { graphRoutes } from './graph.js';
import { ORIGIN, type Route, respond } from './http.js';
import { logRoutes } from './logs.js';
import { notificationPolicyRoutes } from './notification-policies.js';
import { answer } from './router.js';
import { runHistoryRoutes } from './run-history.js';
import { State } from './state.js';
import { addStockBlocks } from './stock-blocks.js';
import { addStockWebhookBlock } from './stock-webhook-block.js';
import { systemRoutes } from './system.js';
import { tagLimitRoutes } from './tag-limits.js';
import { taskRunRoutes } from './task-runs.js';
import { variableRoutes } from './variables.js';
import { workPoolRoutes } from './work-pools.js';

export interface RecordedCall {
  method: string;
  /** After /api, without the query. */
  path: string;
  search: string;
  headers: Record<string, string>;
  /** Parsed where it is JSON, else its text; null where there is none. */
  body: unknown;
}

/** Looked at before the handlers; the first fault that returns something decides. */
export type Fault = (call: RecordedCall) =>
  | undefined
  | 'hang'
  | 'reset'
  /** Sends the headers with the full content-length and half of the body, then destroys the socket. */
  | 'truncate'
  | { status: number; body?: string; headers?: Record<string, string>; until?: Promise<void> }
  | { delayMs: number }
  /** Answers as usual, then. */
  | { until: Promise<void> };

export interface MockOptions extends AccessOptions {
  pageLimit?: number;
  /** Nodes that a graph may have: Prefect's own 10,000 by default. */
  graphNodes?: number | undefined;
  version?: string;
}

export interface MockOrchestrator {
  /** Ends in /api. */
  url: string;
  calls: RecordedCall[];
  /** Requests that no handler knows, answered 500 (405 or 307 where the server's router says so). A test asserts that this is empty. */
  unexpected: string[];
  inFlight(): number;
  maxInFlight(): number;
  /** Clears calls, unexpected, faults and the high-water mark, not the state. */
  reset(): void;
  fault(fault: Fault): void;
  events: EventFaults;
  close(): Promise<void>;
}

export async function startMockOrchestrator(options: MockOptions = {}): Promise<MockOrchestrator> {
  const state = new State(options.version ?? '3.8.8', options.pageLimit ?? 200, options.graphNodes);
  addStockBlocks(state);
  addStockWebhookBlock(state);
  const guard = access(options);
  const routes = [...guard.routes, ...allRoutes(state)];
  const mock = new Mock(routes, guard);
  const server = createServer((request, response) => {
    void mock.serve(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const events = serveEventsOut(server, state, options, mock.unexpected);
  return mock.publish(`http://127.0.0.1:${port}/api`, server, events);
}

function allRoutes(state: State): Route[] {
  const automations = new Map<string, Automation>();
  return [
    ...systemRoutes(state),
    ...flowRoutes(state),
    ...flowRunRoutes(state),
    ...runHistoryRoutes(state),
    ...artifactRoutes(state),
    ...graphRoutes(state),
    ...taskRunRoutes(state),
    ...logRoutes(state),
    ...deploymentRoutes(state),
    ...blockTypeRoutes(state),
    ...blockRoutes(state),
    ...workPoolRoutes(state),
    ...automationRoutes(state, automations),
    ...eventLogRoutes(state, automations),
    ...notificationPolicyRoutes(state),
    ...variableRoutes(state),
    ...tagLimitRoutes(state),
    ...globalLimitRoutes(state),
  ];
}

class Mock {
  private readonly calls: RecordedCall[] = [];
  readonly unexpected: string[] = [];
  private faults: Fault[] = [];
  private busy = 0;
  private mostBusy = 0;

  constructor(
    private readonly routes: Route[],
    private readonly guard: Access,
  ) {}

  publish(url: string, server: Server, events: EventFaults): MockOrchestrator {
    return {
      url,
      calls: this.calls,
      unexpected: this.unexpected,
      inFlight: () => this.busy,
      maxInFlight: () => this.mostBusy,
      reset: () => {
        this.calls.length = 0;
        this.unexpected.length = 0;
        this.faults = [];
        this.mostBusy = this.busy;
        events.refuse(false);
        events.swallow(false);
      },
      fault: (fault) => this.faults.push(fault),
      events,
      close: () =>
        new Promise((resolve) => {
          server.close(() => {
            resolve();
          });
          server.closeAllConnections();
          events.cut();
        }),
    };
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.busy += 1;
    this.mostBusy = Math.max(this.mostBusy, this.busy);
    response.once('close', () => {
      this.busy -= 1;
    });
    const content = await contentOf(request).catch(() => undefined);
    if (content === undefined) return;
    const url = new URL(request.url ?? '/', ORIGIN);
    const call = record(request, url, content);
    this.calls.push(call);
    const fault = this.faults.map((look) => look(call)).find((effect) => effect !== undefined);
    if (fault === 'hang') return;
    if (fault === 'reset') {
      request.socket.resetAndDestroy();
      return;
    }
    if (typeof fault === 'object' && 'delayMs' in fault) await sleep(fault.delayMs);
    if (typeof fault === 'object' && 'until' in fault) await fault.until;
    const reply =
      typeof fault === 'object' && 'status' in fault
        ? new Response(fault.status === 204 ? null : (fault.body ?? ''), {
            status: fault.status,
            headers: fault.headers ?? { 'content-type': 'application/json' },
          })
        : await this.reply(url, call, content);
    await send(request, response, reply, fault === 'truncate');
  }

  private async reply(url: URL, call: RecordedCall, content: string): Promise<Response> {
    const headers = new Headers(call.headers);
    const refused = this.guard.check(call.method, call.path, headers);
    if (refused !== undefined) return refused;
    const body = content === '' || call.method === 'GET' ? null : content;
    const found = await answer(this.routes, new Request(url, { method: call.method, headers, body }));
    if (found?.known !== true) this.unexpected.push(`${call.method} ${call.path}${call.search}`);
    if (found !== undefined) return found.response;
    return respond(500, { detail: `The mock orchestrator knows no ${call.method} ${call.path}` });
  }
}

async function contentOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function record(request: IncomingMessage, url: URL, content: string): RecordedCall {
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([key, value]) => [
      key,
      Array.isArray(value) ? value.join(', ') : (value ?? ''),
    ]),
  );
  const path = url.pathname.replace(/^\/api(?=\/|$)/, '');
  return { method: request.method ?? 'GET', path, search: url.search, headers, body: parsed(content) };
}

function parsed(content: string): unknown {
  if (content === '') return null;
  try {
    return JSON.parse(content);
  } catch {
    return content;
  }
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  reply: Response,
  truncate: boolean,
): Promise<void> {
  const content = Buffer.from(await reply.arrayBuffer());
  const headers: Record<string, string> = Object.fromEntries(reply.headers.entries());
  if (reply.status !== 204) headers['content-length'] = String(content.length);
  response.writeHead(reply.status, headers);
  if (!truncate) {
    response.end(content);
    return;
  }
  response.write(content.subarray(0, Math.floor(content.length / 2)), () => request.socket.destroy());
}
