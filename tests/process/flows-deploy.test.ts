import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startMockOrchestrator, type MockOrchestrator } from '../support/mock/index.js';
import { deployFlows } from './deploy-flows.js';

let mock: MockOrchestrator;
beforeEach(async () => {
  mock = await startMockOrchestrator();
});
afterEach(async () => {
  expect(mock.unexpected).toEqual([]);
  await mock.close();
});

const ONCE = { PREFECT_API_RETRY: 'false' };

describe('flows deploy', () => {
  it('stops at what fails, and says why', async () => {
    const { code, lines } = await deployFlows(mock.url, { pool: 'none' });
    expect(code).toBe(1);
    expect(lines).toEqual([
      expect.stringMatching(/^✗ print-message\/example .*Work pool "none" not found\. \(127\.0\.0\.1:\d+\)$/),
    ]);
    const { host } = new URL(mock.url);
    await mock.close();
    const away = await deployFlows(mock.url, {}, ONCE);
    expect([away.code, away.lines]).toEqual([1, [expect.stringContaining(`unreachable (${host})`)]]);
    mock = await startMockOrchestrator();
  });

  it.each([
    [{ interval: '0' }, /--interval must be a whole number of seconds/],
    [{ interval: '5m' }, /--interval must be a whole number of seconds/],
    [{ only: ['print', 'print-message'] }, /--only: there is no print, but print-message, run-shell-command/],
  ])('refuses %j', async (flags, message) => {
    const { code, lines } = await deployFlows(mock.url, flags);
    expect([code, lines]).toEqual([1, [expect.stringMatching(message)]]);
    expect(mock.calls).toEqual([]);
  });
});
