import { z } from '@hono/zod-openapi';
import { dict, list, listOrEmpty, str } from './lax.js';
import { newRunHeaders } from './resources.js';

/** Of anything: what the flow cannot use, it refuses itself. */
const COMMANDS = { max: 1_000 };

const common = {
  type: str,
  slug: str,
  working_dir: str,
  env: dict,
  commands: list(z.unknown(), COMMANDS),
  flow_name: str,
  flow_run_name: str,
};

export const dbtRun = z
  .object({
    ...common,
    profiles_dir: str,
    project_dir: str,
    cli_profile_block: str,
    cli_args: listOrEmpty(z.unknown(), COMMANDS),
  })
  .openapi('DbtRun');

export const shellRun = z.object(common).openapi('ShellRun');

/** RFC 7240: how long the host wants to wait. Other preferences are ignored, as the RFC says. */
const prefer = z
  .string()
  .optional()
  .transform((value) => {
    const seconds = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,5})\b/i.exec(value ?? '')?.[1];
    return seconds === undefined ? undefined : Number(seconds);
  })
  .openapi({
    type: 'string',
    description: '`wait=N`, e.g. `wait=20`: a 202 with `Location` where N seconds were not enough',
  });

export const syncRunHeaders = newRunHeaders.extend({ prefer });
