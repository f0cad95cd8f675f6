import type { ErrorEvent, Event, Exception, StackFrame } from '@sentry/node';

type TransactionEvent = Event & { type: 'transaction' };

/**
 * An event as it may leave: put together anew from what is known to hold nothing of a host's or an orchestrator's. What
 * an SDK adds one day stays here. An error's message stays as well: it may quote a body or a URL.
 */
export function scrubbedError(event: ErrorEvent): ErrorEvent {
  const { exception } = event;
  return {
    ...common(event),
    type: undefined,
    ...(exception
      ? { exception: { values: exception.values?.map((one) => exceptionOf(one, event.transaction)) ?? [] } }
      : // An alarm of ours: its text is fixed, and its fields are those of its log line.
        { message: event.message ?? '', extra: event.extra ?? {} }),
  };
}

/** A trace as it may leave: its names and attributes are those of our own spans. */
export function scrubbedTransaction(event: TransactionEvent): TransactionEvent {
  const { start_timestamp, spans, transaction_info } = event;
  return { ...common(event), type: 'transaction', ...given({ start_timestamp, spans, transaction_info }) };
}

function common(event: Event): Event {
  const { event_id, timestamp, level, platform, server_name, release, environment, sdk, transaction, tags } =
    event;
  const { trace, profile } = event.contexts ?? {};
  const fields = {
    event_id,
    timestamp,
    level,
    platform,
    server_name,
    release,
    environment,
    sdk,
    transaction,
    tags,
  };
  return given({ ...fields, contexts: given({ trace, profile }) });
}

function exceptionOf({ type, mechanism, stacktrace }: Exception, where: string | undefined): Exception {
  const kind = mechanism && given({ type: mechanism.type, handled: mechanism.handled });
  const frames = stacktrace?.frames?.map(frameOf);
  return given({
    type,
    value: where === undefined ? 'outside of requests' : `in ${where}`,
    mechanism: kind,
    stacktrace: frames && { frames },
  });
}

/** Where it is in our code, and the code itself: no variables. */
function frameOf(frame: StackFrame): StackFrame {
  const { filename, abs_path, function: name, module, lineno, colno, in_app } = frame;
  const { pre_context, context_line, post_context } = frame;
  const place = { filename, abs_path, function: name, module, lineno, colno, in_app };
  return given({ ...place, pre_context, context_line, post_context });
}

/** Without what is undefined. */
function given<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
