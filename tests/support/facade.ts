import { loadConfig } from '../../src/config.js';
import type { Logger, LogFields } from '../../src/logger.js';
import { serve } from '../../src/serve.js';
import { startTelemetry } from '../../src/telemetry/telemetry.js';

export interface LogLine extends LogFields {
  level: 'info' | 'warn' | 'error';
  message: string;
}

export interface Facade {
  url: string;
  /** Everything that was logged, in order. */
  lines: LogLine[];
  /** How many requests have come: each of them is being worked on, waits for its turn or has its reply. */
  arrived(): number;
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
  const config = loadConfig({
    DRAIN_DELAY: '0',
    PREFECT_API_URL: apiUrl,
    PREFECT_API_RETRY_DELAY: '0.01',
    PREFECT_API_TIMEOUT: '10',
    ...env,
  });
  let arrived = 0;
  const onRequest = () => {
    arrived += 1;
  };
  const telemetry = await startTelemetry(config, logger);
  const settled = { ...config, PREFECT_API_URL: config.PREFECT_API_URL ?? apiUrl };
  const facade = await serve({ config: settled, logger, port: 0, onRequest, telemetry });
  return {
    url: facade.url,
    lines,
    arrived: () => arrived,
    close: async () => {
      await facade.close();
      await telemetry.close(5_000);
    },
  };
}
