/** Runs that are remembered: a second or third hint of one of them costs nothing. */
const KEPT = 10_000;

/** What is known of the runs that were spoken of last; older ones are forgotten, and read again where they come up. */
export class Latest<T> {
  private readonly known = new Map<string, T>();

  get(id: string): T | undefined {
    return this.known.get(id);
  }

  set(id: string, value: T): void {
    this.known.delete(id);
    this.known.set(id, value);
    const oldest = this.known.keys().next().value;
    if (this.known.size > KEPT && oldest !== undefined) this.known.delete(oldest);
  }

  delete(id: string): void {
    this.known.delete(id);
  }
}
