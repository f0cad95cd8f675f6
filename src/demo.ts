import { z } from 'zod';
import { DemoError, Facade } from './demo/facade.js';
import { story, type Step, type StoryOptions, type Undo } from './demo/story.js';

export interface DemoOptions extends StoryOptions {
  baseUrl: string;
  apiKey?: string | undefined;
}

/**
 * A host's day with the facade, over its public routes only: make a secret and a scheduled deployment, run it, follow
 * the run, read its graph and logs, switch the schedule off and on. Deletes what it made. False where a step failed.
 */
export async function runDemo(options: DemoOptions): Promise<boolean> {
  const { write } = options;
  const facade = new Facade(options.baseUrl, options.apiKey);
  const undo: Undo[] = [];
  const failed: string[] = [];

  const step: Step = async (words, work, done) => {
    const since = performance.now();
    const line = (mark: string, text: string) => {
      write(`${mark} ${text.padEnd(64)} ${String(Math.round(performance.now() - since)).padStart(6)} ms`);
    };
    try {
      const result = await work();
      line('✓', done?.(result) ?? words);
      return result;
    } catch (error) {
      failed.push(words);
      line('✗', words);
      write(`    ${error instanceof DemoError ? error.message : String(error)}`);
      throw error;
    }
  };

  try {
    await story(facade, options, step, undo);
  } catch (error) {
    // A step that failed has said so.
    if (failed.length === 0) throw error;
  }
  for (const { words, path } of undo.reverse()) {
    await step(`delete ${words}`, () => facade.call(z.unknown(), 'DELETE', path)).catch(() => undefined);
  }
  write(failed.length === 0 ? 'The demo went through.' : `The demo failed: ${failed.join(', ')}.`);
  return failed.length === 0;
}
