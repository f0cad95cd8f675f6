import { describe, expect, it } from 'vitest';
import { proxyFor } from '../../src/lib/proxy-rules.js';

const proxies = { HTTP_PROXY: 'http://plain:1', HTTPS_PROXY: 'http://secure:2', ALL_PROXY: 'http://all:3' };

describe('The proxy for a URL', () => {
  it('is that of its scheme, else ALL_PROXY', () => {
    expect(proxyFor('http://prefect.test/api', { ...proxies, NO_PROXY: [] })).toBe('http://plain:1');
    expect(proxyFor('https://prefect.test/api', { ...proxies, NO_PROXY: [] })).toBe('http://secure:2');
    expect(proxyFor('https://prefect.test/api', { ALL_PROXY: 'http://all:3', NO_PROXY: [] })).toBe(
      'http://all:3',
    );
    expect(
      proxyFor('https://prefect.test/api', { HTTP_PROXY: 'http://plain:1', NO_PROXY: [] }),
    ).toBeUndefined();
  });

  it.each([
    'http://127.0.0.1:4200/api',
    'http://127.9.9.9/',
    'http://[::1]:4200/api',
    'http://localhost:4200/api',
  ])('is none for loopback (%s)', (url) => {
    expect(proxyFor(url, { ...proxies, NO_PROXY: [] })).toBeUndefined();
  });

  it.each([
    ['*', 'http://prefect.test/', true],
    ['prefect.test', 'http://prefect.test/', true],
    ['PREFECT.test', 'http://prefect.test/', true],
    ['test', 'http://prefect.test/', true],
    ['efect.test', 'http://prefect.test/', false],
    ['.prefect.test', 'http://prefect.test/', false],
    ['.prefect.test', 'http://a.prefect.test/', true],
    ['*.prefect.test', 'http://a.prefect.test/', true],
    ['prefect.test:4200', 'http://prefect.test:4200/', true],
    ['prefect.test:4200', 'http://prefect.test/', false],
    ['prefect.test:443', 'https://prefect.test/', true],
    ['10.1.2.3', 'http://10.1.2.3/', true],
    ['10.0.0.0/8', 'http://10.1.2.3/', true],
    ['10.0.0.0/8', 'http://11.1.2.3/', false],
    ['2.3', 'http://10.1.2.3/', false],
    ['fd00::1', 'http://[fd00::1]/', true],
    ['fd00::/8', 'http://[fd12::1]/', true],
    ['10.0.0.0/99', 'http://10.0.0.0/', false],
  ])('with NO_PROXY=%s and %s is left out: %s', (entry, url, isLeftOut) => {
    expect(proxyFor(url, { ...proxies, NO_PROXY: [entry] }) === undefined).toBe(isLeftOut);
  });
});
