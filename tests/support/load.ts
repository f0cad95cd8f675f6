import { Client } from 'undici';

/** Hosts that ask again and again, each over one connection that it keeps. */
export class Load {
  answered = 0;
  /** What went wrong, a line a request: a status or an error's code. */
  readonly failures: string[] = [];
  private isOver = false;
  private reconnects = true;
  private readonly hosts: Promise<void>[];
  private readonly waiting = new Set<() => void>();

  constructor(url: string, hosts = 12, path = '/proxy/prefect/version') {
    this.hosts = Array.from({ length: hosts }, () => this.run(url, path));
  }

  /** Resolves when so many more requests are answered. */
  more(count: number): Promise<void> {
    const goal = this.answered + count;
    return new Promise((resolve) => {
      const check = () => {
        if (this.answered < goal) return;
        this.waiting.delete(check);
        resolve();
      };
      this.waiting.add(check);
    });
  }

  /** From now on a host that is told `connection: close` asks no more. */
  keepOnlyOldConnections(): void {
    this.reconnects = false;
  }

  /** Resolves when every host has stopped by itself, or by `stop`. */
  async ended(): Promise<void> {
    await Promise.all(this.hosts);
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await this.ended();
  }

  private async run(url: string, path: string): Promise<void> {
    const client = new Client(url, { headersTimeout: 15_000 });
    while (!this.isOver) {
      try {
        const reply = await client.request({ method: 'GET', path });
        await reply.body.dump();
        if (reply.statusCode !== 200) this.failures.push(String(reply.statusCode));
        this.answered += 1;
        if (!this.reconnects && reply.headers['connection'] === 'close') break;
      } catch (error) {
        this.failures.push(error instanceof Error && 'code' in error ? String(error.code) : String(error));
      }
      for (const check of this.waiting) check();
    }
    await client.destroy();
  }
}
