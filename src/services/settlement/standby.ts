/** Why this service delivers nothing at the moment although it has a host, for those who report it. */
export class Standby {
  private readonly listeners: ((reason: string | undefined) => void)[] = [];
  private current: string | undefined;

  /** Undefined while it delivers. */
  get reason(): string | undefined {
    return this.current;
  }

  set(reason: string | undefined): void {
    if (reason === this.current) return;
    this.current = reason;
    for (const listener of this.listeners) listener(reason);
  }

  /** Calls it with each change. */
  onChange(listener: (reason: string | undefined) => void): void {
    this.listeners.push(listener);
  }
}
