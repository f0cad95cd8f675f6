import type { z } from 'zod';
import { findFacade } from '../commands/targets.js';
import type { Config } from '../config.js';
import { deliveryList, recovered, replayed } from '../schemas/deliveries.js';
import { toUtcTime } from '../schemas/time.js';
import { FacadeClient, FacadeError } from './deliveries/facade-client.js';
import { bar, table, timeAgo } from './deliveries/text.js';

/** What to do, as the command line says it: times as `2h` or as the routes take them. */
export type DeliveriesCommand =
  | {
      name: 'list';
      state?: string | undefined;
      since?: string | undefined;
      until?: string | undefined;
      json?: boolean | undefined;
    }
  | { name: 'replay'; flowRunId: string }
  | { name: 'recover'; since: string; until?: string | undefined; state?: string | undefined };

export interface DeliveriesOptions {
  config: Config;
  /** The project's root. */
  root: string;
  /** Where the facade is; if it is not given, see findFacade. */
  url?: string | undefined;
  apiKey?: string | undefined;
  say: (line: string) => void;
  /** Writes a line over the last one: on a terminal only. */
  update?: ((line: string) => void) | undefined;
}

type Delivery = z.infer<typeof deliveryList>['deliveries'][number];
type Of<N extends DeliveriesCommand['name']> = Extract<DeliveriesCommand, { name: N }>;

const PATH = '/proxy/v1/deliveries';
const ROWS = 200;
/** What an empty line replaces is gone. */
const NOTHING = '';

/**
 * Runs one of the commands against a running facade.
 * @returns the exit code: 0 if all is well
 * @throws NoTargetError
 */
export async function runDeliveriesCommand(
  command: DeliveriesCommand,
  options: DeliveriesOptions,
): Promise<number> {
  const client = new FacadeClient(options.url ?? findFacade(options.config, options.root), options.apiKey);
  try {
    if (command.name === 'list') await list(client, command, options);
    else if (command.name === 'recover') await recover(client, command, options);
    else await replay(client, command, options);
    return 0;
  } catch (error) {
    if (!(error instanceof FacadeError)) throw error;
    options.say(`✗ ${error.message}`);
    return 1;
  } finally {
    await client.close();
  }
}

async function list(
  client: FacadeClient,
  { state, since, until, json }: Of<'list'>,
  { say, update }: DeliveriesOptions,
): Promise<void> {
  const query = {
    limit: String(ROWS),
    ...given({ state, since: since && timeAgo(since), until: until && timeAgo(until) }),
  };
  const rows: Delivery[] = [];
  let unreadable = 0;
  let cursor: string | null | undefined;
  while (cursor !== null) {
    const search = new URLSearchParams({ ...query, ...given({ cursor }) });
    const page = await client.call(deliveryList, 'GET', `${PATH}?${search.toString()}`);
    rows.push(...page.deliveries);
    unreadable += page.unreadable;
    cursor = page.next_cursor;
    if (!json) update?.(cursor === null ? NOTHING : runs(rows.length));
  }
  if (json) {
    for (const line of JSON.stringify(rows, null, 2).split('\n')) say(line);
    return;
  }
  for (const line of table([HEAD, ...rows.map(cellsOf)])) say(line);
  say(runs(rows.length));
  sayUnreadable(unreadable, say);
}

const HEAD = ['ENDED', 'FLOW RUN', 'STATE', 'DELIVERY', 'FAILED', 'NEXT ATTEMPT', 'LAST', 'CLEANED', 'NAME'];

function cellsOf(row: Delivery): string[] {
  return [
    toSeconds(row.ended_at),
    row.flow_run_id,
    row.state_name,
    row.delivery,
    String(row.attempts),
    row.next_attempt === null ? '-' : toSeconds(row.next_attempt),
    row.last ?? '-',
    row.cleaned ? 'yes' : 'no',
    row.name,
  ];
}

/** UTC to the second, as `--since` takes it. */
function toSeconds(time: string): string {
  return time.replace(/\.\d+/, '').replace('+00:00', 'Z');
}

async function replay(
  client: FacadeClient,
  { flowRunId }: Of<'replay'>,
  { say }: DeliveriesOptions,
): Promise<void> {
  const path = `${PATH}/${encodeURIComponent(flowRunId)}/replay`;
  const { webhook_id: id } = await client.call(replayed, 'POST', path);
  say(`✓ the host will be told again, as webhook-id ${id}`);
}

async function recover(
  client: FacadeClient,
  { state, since, until }: Of<'recover'>,
  { say, update }: DeliveriesOptions,
): Promise<void> {
  // With an end of its own: without one, each request would reach to another now.
  const range = { since: timeAgo(since), until: timeAgo(until ?? '0s') };
  const progress = { found: 0, replayed: 0, unreadable: 0, reached: range.until };
  let cursor: string | null | undefined;
  try {
    while (cursor !== null) {
      const body = given({ ...range, state, cursor });
      const part = await client.call(recovered, 'POST', `${PATH}/recover`, body);
      progress.found += part.found;
      progress.replayed += part.replayed;
      progress.unreadable += part.unreadable;
      progress.reached = part.reached;
      cursor = part.next_cursor;
      const line = `${runs(progress.replayed)}, down to ${toSeconds(part.reached)}`;
      if (!update) say(line);
      else update(cursor === null ? NOTHING : `${bar(shareOf(range, part.reached))} ${line}`);
    }
  } catch (error) {
    if (error instanceof FacadeError && cursor) {
      say(`${runs(progress.replayed)} will be told again; go on with --until ${progress.reached}`);
    }
    throw error;
  }
  say(`✓ the host will be told again of ${runs(progress.replayed)}`);
  const gone = progress.found - progress.replayed;
  if (gone > 0) say(`${runs(gone)} deleted meanwhile`);
  sayUnreadable(progress.unreadable, say);
}

const runs = (count: number) => (count === 1 ? '1 run' : `${count} runs`);

/** How much of a range is done, from its end to its begin. */
function shareOf(range: { since: string; until: string }, reached: string): number {
  const [since, until] = [msOf(range.since), msOf(range.until)];
  return until > since ? (until - msOf(reached)) / (until - since) : 1;
}

/** A time in any form that the routes take. */
function msOf(time: string): number {
  const utc = toUtcTime(time);
  return 'value' in utc ? Date.parse(utc.value) : NaN;
}

/** Not how many: one may be met by several requests. */
function sayUnreadable(count: number, say: (line: string) => void): void {
  if (count > 0)
    say('Left out: runs that the orchestrator cannot show (a label of theirs is no plain value)');
}

/** Without what is not given. */
function given(fields: Record<string, string | null | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => (value ? [[name, value]] : [])),
  );
}
