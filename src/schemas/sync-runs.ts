import { z } from '@hono/zod-openapi';
import { dict, str } from './lax.js';
import { newRunHeaders } from './resources.js';

/** `list`: of anything that can be stored (see `dict`); what the flow cannot use, it refuses itself. */
const list = z.array(z.unknown()).superRefine((items, context) => {
  if (dict.safeParse({ items }).success) return;
  const message = 'A number in it is beyond 64 bits';
  context.addIssue({ code: 'custom', message, params: { type: 'int_parsing_size' } });
});

const common = {
  type: str,
  slug: str,
  working_dir: str,
  env: dict,
  commands: list,
  flow_name: str,
  flow_run_name: str,
};

export const dbtRun = z
  .object({
    ...common,
    profiles_dir: str,
    project_dir: str,
    cli_profile_block: str,
    cli_args: list.default([]),
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
