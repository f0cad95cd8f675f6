import type { Delivery } from './host.js';
import type { Sight } from './inspection.js';
import type { EndedState, Run } from './runs.js';

/** A time in which something was broken: milliseconds since 1970. */
export interface Outage {
  from: number;
  to: number;
}

export interface Evidence {
  runs: Run[];
  /** Runs of earlier rounds: of them nothing is asked, but what is told of them has to be true. */
  earlier: ReadonlyMap<string, Run>;
  deliveries: Delivery[];
  /** What the orchestrator shows; undefined while it was not asked. */
  sights: ReadonlyMap<string, Sight> | undefined;
  outages: Outage[];
  /** Milliseconds that 95 of 100 deliveries may take. */
  limitMs: number;
}

export interface Problem {
  kind: string;
  text: string;
}

export interface Verdict {
  /** What is wrong; the longer one waits, the fewer `open` ones there should be. */
  wrong: Problem[];
  open: Problem[];
  /** Runs that ended, and how many of these ends the host knows of. */
  ended: number;
  delivered: number;
  /** Deliveries that came again, under the same id. */
  duplicates: number;
  /** Ends that another end followed: known to the host, of how many. */
  earlierEnds: { delivered: number; of: number };
  /** Milliseconds from state change, or from the end of an outage in between, to the first delivery. */
  p50: number;
  p95: number;
  max: number;
}

const TYPE_NAMES: Record<string, string> = {
  COMPLETED: 'Completed',
  FAILED: 'Failed',
  CRASHED: 'Crashed',
  CANCELLED: 'Cancelled',
};

/** Compares what happened at the orchestrator with what the host was told, and with what is left. */
export function judge({ runs, earlier, deliveries, sights, outages, limitMs }: Evidence): Verdict {
  const known = new Map([...earlier.values(), ...runs].map((run) => [run.id, run]));
  const first = new Map<string, Delivery>();
  const wrong = runs.flatMap((run) =>
    run.complaints.map((complaint) => ({ kind: 'driver', text: `${run.name} (${run.id}) ${complaint}` })),
  );
  for (const delivery of deliveries) {
    wrong.push(...faultsOf(delivery, known));
    if (!first.has(delivery.id)) first.set(delivery.id, delivery);
  }
  const open: Problem[] = [];
  const latencies: number[] = [];
  const slow: { ms: number; who: string }[] = [];
  const earlierEnds = { delivered: 0, of: 0 };
  const endedRuns = runs.filter(({ course }) => course !== 'lives');
  for (const run of endedRuns) {
    const final = run.ended.at(-1);
    if (!final) {
      open.push({ kind: 'not ended', text: `${run.name} (${run.id}) has not ended` });
      continue;
    }
    const delivery = first.get(`${run.id}:${final.id}`);
    if (delivery) {
      const ms = latency(final, delivery, outages, limitMs);
      latencies.push(ms);
      slow.push({ ms, who: `${run.name} (${run.id}), ${run.course}, ${final.type}: ${ms} ms` });
    } else
      open.push({
        kind: 'lost',
        text: `${run.name} (${run.id}), ${final.type} ${final.name}: not delivered`,
      });
    earlierEnds.of += run.ended.length - 1;
    earlierEnds.delivered += run.ended.slice(0, -1).filter(({ id }) => first.has(`${run.id}:${id}`)).length;
  }
  for (const run of sights ? runs : []) open.push(...leftOpen(run, sights!.get(run.id)));
  latencies.sort((a, b) => a - b);
  const p95 = percentile(latencies, 0.95);
  if (p95 > limitMs) {
    wrong.push({ kind: 'too slow', text: `95% were delivered within ${p95} ms: more than ${limitMs} ms` });
    slow.sort((a, b) => b.ms - a.ms);
    for (const { who, ms } of slow) if (ms > limitMs) wrong.push({ kind: 'slow', text: who });
  }
  return {
    wrong,
    open,
    ended: endedRuns.filter((run) => run.ended.length > 0).length,
    delivered: latencies.length,
    duplicates: deliveries.length - first.size,
    earlierEnds,
    p50: percentile(latencies, 0.5),
    p95,
    max: latencies.at(-1) ?? NaN,
  };
}

/** A delivery has to name one end of one run: in its id, in its text and in its object. */
function faultsOf({ id, text, flowRun, faults }: Delivery, known: ReadonlyMap<string, Run>): Problem[] {
  const problem = (kind: string, what: string) => ({ kind, text: `delivery ${id}: ${what}` });
  const wrong = faults.map((fault) => problem('form', fault));
  const [runId = '', stateId = ''] = id.split(':');
  const run = known.get(runId);
  const state = run?.ended.find((one) => `${runId}:${one.id}` === id);
  if (!run) return [...wrong, problem('id', 'there is no such run')];
  if (run.course === 'lives') return [...wrong, problem('id', 'the run has not ended')];
  if (!state) return [...wrong, problem('id', `the run has no terminal state ${stateId}`)];
  const safeName = run.name.replaceAll(/[^A-Za-z0-9-]/gu, '-');
  if (text !== `Flow run ${safeName} with id ${runId} entered state ${TYPE_NAMES[state.type] ?? ''}`)
    wrong.push(problem('text', `the text is of something else: ${text}`));
  const told = [flowRun?.id, flowRun?.name, flowRun?.state.id, flowRun?.state.type, flowRun?.state.name];
  const wanted = [runId, run.name, state.id, state.type, state.name];
  if (told.some((value, index) => value !== wanted[index]))
    wrong.push(problem('object', `the object is of something else: ${told.join(', ')}`));
  return wrong;
}

/** What is still to be done for a run, or should not have been done to one that lives. */
function leftOpen(run: Run, sight: Sight | undefined): Problem[] {
  const problem = (kind: string, what: string) => ({ kind, text: `${run.name} (${run.id}) ${what}` });
  if (!sight) return [problem('gone', 'is gone from the orchestrator')];
  const { blocks, deployments, leases, slotHolders } = run.held;
  const held = [blocks, deployments, leases, slotHolders].flat().length;
  const final = run.ended.at(-1);
  if (run.course === 'lives') {
    const isWhole = sight.holds.length === held;
    return isWhole ? [] : [problem('taken', `lives, and has only this left: ${sight.holds.join(', ')}`)];
  }
  const open = sight.holds.map((one) => problem('held', `ended ${final?.type ?? ''} and still holds ${one}`));
  if (final && sight.stateId !== final.id)
    open.push(problem('state', 'is in another state than it was given'));
  for (const label of ['prefect-proxy.settled', 'prefect-proxy.cleaned']) {
    const value = JSON.stringify(sight.labels[label]);
    if (sight.labels[label] !== final?.id)
      open.push(problem(label, `label ${label} is ${value}, the state ${final?.id ?? 'none'}`));
  }
  return open;
}

/** An outage is an excuse for what was not yet late when it began. */
function latency(state: EndedState, delivery: Delivery, outages: Outage[], limitMs: number): number {
  let since = state.at;
  for (const { from, to } of outages) {
    if (from <= since + limitMs && from < delivery.at && to <= delivery.at) since = Math.max(since, to);
  }
  return delivery.at - since;
}

/** @returns NaN for none */
export function percentile(sorted: number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}
