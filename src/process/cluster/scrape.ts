/** The primary has a second to ask all workers. */
const PATIENCE_MS = 3_000;

/** The numbers of all processes, as a worker gets them: from the primary, once for all who ask at the same time. */
export class Scrape {
  private underWay: Promise<string> | undefined;
  private resolve: ((text: string) => void) | undefined;

  /** @param ask asks the primary, whose answer goes to `take` */
  constructor(private readonly ask: () => void) {}

  /** @throws Error where the primary does not answer */
  text(): Promise<string> {
    this.underWay ??= new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error('the primary does not answer'));
      }, PATIENCE_MS);
      this.resolve = (text) => {
        clearTimeout(timer);
        resolve(text);
      };
      this.ask();
    }).finally(() => {
      this.underWay = undefined;
    });
    return this.underWay;
  }

  take(text: string): void {
    this.resolve?.(text);
  }
}
