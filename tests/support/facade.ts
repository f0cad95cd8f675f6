import { loadConfig } from '../../src/config.js';
import type { Logger, LogFields } from '../../src/logger.js';
import { serve } from '../../src/serve.js';

export interface LogLine extends LogFields {
  level: 'info' | 'warn' | 'error';
  message: string;
}

export interface Facade {
  url: string;
  /** Everything that was logged, in order. */
  lines: LogLine[];
  close(): Promise<void>;
}

/** A facade on a free loopback port. @param env configuration over the defaults; retries wait 10 ms */
export async function startFacade(apiUrl: string, env: Record<string, string> = {}): Promise<Facade> {
  const lines: LogLine[] = [];
  const write =
    (level: LogLine['level']) =>
    (message: string, fields: LogFields = {}) => {
      lines.push({ ...fields, level, message });
    };
  const logger: Logger = {
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    close: () => Promise.resolve(),
  };
  const config = loadConfig({ PREFECT_API_RETRY_DELAY: '0.01', PREFECT_API_TIMEOUT: '10', ...env });
  const facade = await serve({ config: { ...config, PREFECT_API_URL: apiUrl }, logger, port: 0 });
  return { url: facade.url, lines, close: () => facade.close() };
}
