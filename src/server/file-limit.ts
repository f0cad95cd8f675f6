import { close, open, readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Logger } from '../logger.js';
import type { Metrics } from '../metrics/metrics.js';

/** What failed for want of a file descriptor. `probe`: nothing else said so (see below). */
const PLACES = ['accept', 'connect', 'probe'] as const;
type Place = (typeof PLACES)[number];

/** Of this process, and of the whole machine. */
const CODES = ['EMFILE', 'ENFILE'];
const PROBE_EVERY_MS = 1_000;
const LOG_EVERY_MS = 60_000;
const MAX_CAUSES = 5;

/** Descriptors for log files, the event loop, and what libraries open. */
const OWN_FILES = 128;

/**
 * Keeps descriptors free for calls to Prefect and for log files: closes connections that go beyond what the limit of the
 * process leaves. A worker of a cluster that cannot take a connection that its primary hands over would get none any
 * more: node:cluster waits for its word for ever, and keeps all further connections.
 * @param upstreamConnections to Prefect at most
 */
export function keepFilesFree(server: Server, files: FileLimit, upstreamConnections: number): void {
  const limit = openFilesLimit();
  if (limit === undefined) return;
  const most = limit - Math.min(OWN_FILES + upstreamConnections, Math.floor(limit / 2));
  let connections = 0;
  server.on('connection', (socket) => {
    connections += 1;
    socket.once('close', () => {
      connections -= 1;
    });
    if (connections <= most) return;
    socket.destroy();
    files.note('accept', Object.assign(new Error('too many connections'), { code: 'EMFILE' }));
  });
}

/** How many files this process may have open; undefined where that is not known, or there is no limit. */
function openFilesLimit(): number | undefined {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/**
 * Notices when no more files and connections can be opened: counts each time, logs it once a minute. Node closes
 * connections that it cannot accept then and says so to nobody, so a file is opened each second to find out.
 */
export class FileLimit {
  private readonly counts = { accept: 0, connect: 0, probe: 0 };
  private loggedAt = -Infinity;
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly logger: Logger,
    metrics: Metrics,
  ) {
    for (const place of PLACES) {
      metrics.read({
        name: 'prefect_proxy_file_limit_hits_total',
        help: 'How often a connection or file could not be opened: the process or the machine had too many open',
        type: 'counter',
        labels: { place },
        read: () => this.counts[place],
      });
    }
    this.timer = setInterval(() => {
      open('/dev/null', 'r', (error, fd) => {
        if (error) this.note('probe', error);
        else close(fd);
      });
    }, PROBE_EVERY_MS).unref();
  }

  /** Takes any error; what has another reason is none of this. */
  note(place: Place, error: unknown): void {
    const code = codeOf(error);
    if (code === undefined) return;
    this.counts[place] += 1;
    if (performance.now() - this.loggedAt < LOG_EVERY_MS) return;
    this.loggedAt = performance.now();
    this.logger.error('too many open files: connections are lost; raise the limit (ulimit -n)', {
      place,
      code,
      pid: process.pid,
    });
  }

  close(): void {
    clearInterval(this.timer);
  }
}

/** The code of an error or of what caused it, where it says that too many files are open. */
function codeOf(error: unknown): string | undefined {
  let one = error;
  for (let depth = 0; one instanceof Error && depth < MAX_CAUSES; depth += 1) {
    if ('code' in one && CODES.includes(String(one.code))) return String(one.code);
    one = one.cause;
  }
  return undefined;
}
