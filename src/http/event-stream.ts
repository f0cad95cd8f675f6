/** One event of a stream, as `text/event-stream` has it. One without a name is no event: it only sets the id. */
export interface SentEvent {
  event?: string;
  /** What `Last-Event-ID` says when the reader comes again. */
  id: string;
  /** Sent as JSON. */
  data?: unknown;
}

/** A reply whose events come one after the other. An empty group is sent as a comment, so that the connection lives. */
export class EventStreamReply {
  constructor(readonly groups: AsyncGenerator<SentEvent[], void>) {}
}

export const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream',
  // nginx would hold the events back.
  'x-accel-buffering': 'no',
};

/** In milliseconds. */
const RECONNECT_AFTER = 1_000;
/** One who does not read for so long is gone. */
const STALL_MS = 60_000;

interface Ending {
  /** Called once, when the last event is out, the reader is gone or the events failed. */
  onEnd: (error?: unknown) => void;
  /** Called where the reader has stopped reading. */
  onStall: () => void;
}

/** The text of an event stream. The next events are asked for when those before them are taken. */
export function eventStreamBody(
  { groups }: EventStreamReply,
  { onEnd, onStall }: Ending,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let stall: NodeJS.Timeout | undefined;
  let isFirst = true;
  let hasEnded = false;
  const end = (error?: unknown) => {
    clearTimeout(stall);
    if (!hasEnded) onEnd(error);
    hasEnded = true;
  };
  const next = async (): Promise<string | undefined> => {
    if (isFirst) {
      isFirst = false;
      return `retry: ${RECONNECT_AFTER}\n\n`;
    }
    const { done, value } = await groups.next();
    return done ? undefined : textOf(value);
  };
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        clearTimeout(stall);
        try {
          const text = await next();
          if (hasEnded) return;
          if (text === undefined) {
            end();
            controller.close();
            return;
          }
          controller.enqueue(encoder.encode(text));
          stall = setTimeout(onStall, STALL_MS);
        } catch (error) {
          // The status is long out: the reader sees the end, and comes again.
          if (hasEnded) return;
          end(error);
          controller.close();
        }
      },
      cancel: async () => {
        end();
        await groups.return();
      },
    },
    // Nothing is made before it is wanted.
    { highWaterMark: 0 },
  );
}

function textOf(events: SentEvent[]): string {
  if (events.length === 0) return ':\n\n';
  return events
    .map(({ event, id, data }) =>
      event === undefined ? `id: ${id}\n\n` : `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`,
    )
    .join('');
}
