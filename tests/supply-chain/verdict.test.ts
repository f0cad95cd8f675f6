import { describe, expect, it } from 'vitest';
import { npmVerdict, pythonVerdict } from './verdict.js';

/* An audit that asked nobody must not look like one that found nothing. */
const npm = (vulnerabilities: object) =>
  JSON.stringify({
    auditReportVersion: 2,
    vulnerabilities,
    metadata: { vulnerabilities: { total: 1 }, dependencies: { prod: 129, dev: 300, total: 429 } },
  });
const found = (severity: string) => ({
  undici: { name: 'undici', severity, isDirect: true, via: [], effects: [], range: '<7.5.0', nodes: [] },
});

describe('npm audit', () => {
  it('is clean', () => {
    expect(npmVerdict(npm({}))).toEqual({ audited: 129, findings: [], unknown: undefined });
  });

  it.each(['high', 'critical'])('has a finding: %s', (severity) => {
    expect(npmVerdict(npm(found(severity))).findings).toEqual([`undici <7.5.0: ${severity}`]);
  });

  it.each(['moderate', 'low'])('leaves what is only %s', (severity) => {
    expect(npmVerdict(npm(found(severity))).findings).toEqual([]);
  });

  it.each([
    [
      '{"message":"405 Method Not Allowed","statusCode":405,"error":{"summary":""}}',
      '405 Method Not Allowed',
    ],
    ['{"error":{"code":"ENOTFOUND"}}', 'npm audit gave no report'],
    ['', 'npm audit gave no report'],
  ])('was not done: %s', (text, unknown) => {
    expect(npmVerdict(text)).toEqual({ audited: 0, findings: [], unknown });
  });
});

describe('pip-audit', () => {
  const clean = { name: 'httpx', version: '0.28.1', vulns: [] };
  const bad = { name: 'h11', version: '0.14.0', vulns: [{ id: 'PYSEC-1', fix_versions: ['0.16.0'] }] };
  const skipped = { name: 'uvicorn', skip_reason: 'Dependency not found on PyPI and could not be audited' };
  const python = (...dependencies: object[]) => JSON.stringify({ dependencies, fixes: [] });

  it('is clean', () => {
    expect(pythonVerdict(python(clean))).toEqual({ audited: 1, findings: [], unknown: undefined });
  });

  it('has a finding', () => {
    expect(pythonVerdict(python(clean, bad)).findings).toEqual(['h11 0.14.0: PYSEC-1, mended in 0.16.0']);
  });

  it.each([[[skipped]], [[clean, skipped]], [[]]])('was not done, or not of all: %j', (dependencies) => {
    expect(pythonVerdict(python(...dependencies)).unknown).toMatch(/^\d of \d packages have no entry/);
  });

  it('was not done: no report', () => {
    expect(pythonVerdict('').unknown).toBe('pip-audit gave no report');
  });
});
