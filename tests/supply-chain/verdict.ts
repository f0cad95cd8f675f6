import { z } from 'zod';

/** What an audit came to. */
export interface Verdict {
  /** Packages whose advisories were read. */
  audited: number;
  /** One line for each package with an advisory. */
  findings: string[];
  /** Why no advisories could be read, of all packages or of some. */
  unknown: string | undefined;
}

const npmReport = z.object({
  auditReportVersion: z.literal(2),
  vulnerabilities: z.record(
    z.string(),
    z.object({ name: z.string(), severity: z.string(), range: z.string() }),
  ),
  metadata: z.object({ dependencies: z.object({ prod: z.number() }) }),
});
const npmError = z.object({ message: z.string() });
const SERIOUS = ['high', 'critical'];

/** Reads what `npm audit --json` wrote. Findings are those that are high or critical. */
export function npmVerdict(text: string): Verdict {
  const json = parsed(text);
  const report = npmReport.safeParse(json);
  if (!report.success) {
    const unknown = npmError.safeParse(json).data?.message ?? 'npm audit gave no report';
    return { audited: 0, findings: [], unknown };
  }
  const { vulnerabilities, metadata } = report.data;
  const serious = Object.values(vulnerabilities).filter(({ severity }) => SERIOUS.includes(severity));
  const findings = serious.map(({ name, range, severity }) => `${name} ${range}: ${severity}`);
  return { audited: metadata.dependencies.prod, findings, unknown: undefined };
}

const pythonReport = z.object({
  dependencies: z.array(
    z.union([
      z.object({ name: z.string(), skip_reason: z.string() }),
      z.object({
        name: z.string(),
        version: z.string(),
        vulns: z.array(z.object({ id: z.string(), fix_versions: z.array(z.string()) })),
      }),
    ]),
  ),
});

/** Reads what `pip-audit --format json` wrote. It ends with 0 also where it found no package's advisories. */
export function pythonVerdict(text: string): Verdict {
  const report = pythonReport.safeParse(parsed(text));
  if (!report.success) return { audited: 0, findings: [], unknown: 'pip-audit gave no report' };
  const { dependencies } = report.data;
  const audited = dependencies.filter((one) => 'vulns' in one);
  const findings = audited.flatMap(({ name, version, vulns }) =>
    vulns.map(
      ({ id, fix_versions }) => `${name} ${version}: ${id}, mended in ${fix_versions.join(', ') || 'none'}`,
    ),
  );
  const left = dependencies.length - audited.length;
  const isWhole = left === 0 && audited.length > 0;
  const unknown = isWhole ? undefined : `${left} of ${dependencies.length} packages have no entry there`;
  return { audited: audited.length, findings, unknown };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
