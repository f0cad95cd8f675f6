import { loadConfig } from '../../src/config.js';
import { runFlowsDeploy, type FlowsDeployFlags } from '../../src/process/flows-deploy.js';

/** The names of the example flows. */
export const NAMES = [
  'print-message',
  'run-shell-command',
  'check-file-names',
  'create-text-file',
  'run-deployments',
];

/** What `prefect-proxy flows deploy` does. @param env over the defaults */
export async function deployFlows(
  apiUrl: string,
  flags: Partial<FlowsDeployFlags> = {},
  env: Record<string, string> = {},
) {
  const lines: string[] = [];
  const config = loadConfig({ PREFECT_API_URL: apiUrl, PREFECT_API_RETRY_DELAY: '0.01', ...env });
  const say = (line: string) => lines.push(line);
  const code = await runFlowsDeploy({ interval: '300', ...flags }, { config, root: '/no/project', say });
  return { code, lines, text: lines.join('\n') };
}
