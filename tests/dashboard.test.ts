import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { Metrics } from '../src/metrics/metrics.js';
import { loadConfig } from '../src/config.js';
import type { Logger } from '../src/logger.js';
import { Fleet } from '../src/process/cluster/fleet.js';
import { serve, type Facade } from '../src/serve.js';
import { startSettling, type Settling } from '../src/settle.js';

const silent: Logger = { info: () => {}, warn: () => {}, error: () => {}, close: () => Promise.resolve() };
let known: Set<string>;
let facade: Facade;
let settling: Settling;
let fleet: Fleet;
beforeEach(async () => {
  const apiUrl = 'http://127.0.0.1:1/api';
  const config = {
    ...loadConfig({ WEBHOOK_AUTO_REGISTER: 'false', PREFECT_API_RETRY: 'false' }),
    PREFECT_API_URL: apiUrl,
  };
  const metrics = new Metrics();
  metrics.addProcess();
  facade = await serve({ config, logger: silent, port: 0, metrics });
  settling = startSettling(config, silent, undefined, metrics);
  fleet = new Fleet({
    size: 2,
    timeoutMs: 1_000,
    gracefulMs: 1_000,
    fork: () => {
      throw new Error('not started');
    },
    logger: silent,
    metrics,
    hint: () => {},
    relay: () => {},
    relayErrors: () => {},
  });
  // Numbers that are not there at first are declared all the same.
  known = new Set(
    (await metrics.snapshot()).flatMap(({ name, type }) =>
      type === 'histogram' ? [`${name}_bucket`] : [name],
    ),
  );
});
afterEach(async () => {
  await Promise.all([facade.close(), settling.close(), fleet.close()]);
});

const namesIn = (expr: string) => expr.match(/\b(?:prefect_proxy|nodejs|process)_\w+/g) ?? [];
const root = new URL('../docker/', import.meta.url);

describe('What reads the metrics', () => {
  it('the Grafana dashboard can be imported, and asks for what is there', () => {
    const { panels, templating } = dashboard.parse(
      JSON.parse(readFileSync(new URL('grafana-dashboard.json', root), 'utf8')),
    );
    expect(templating.list.map(({ type }) => type)).toContain('datasource');
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const asked = panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => namesIn(expr)));
    expect(asked.length).toBeGreaterThan(panels.length);
    expect(asked.filter((name) => !known.has(name))).toEqual([]);
  });

  it('the alert rules ask for what is there', () => {
    const { groups } = alerts.parse(parseYaml(readFileSync(new URL('prometheus-alerts.yml', root), 'utf8')));
    for (const { alert, expr } of groups.flatMap(({ rules }) => rules)) {
      const asked = namesIn(expr);
      expect({ alert, isEmpty: asked.length === 0 }).toEqual({ alert, isEmpty: false });
      expect(asked.filter((name) => !known.has(name))).toEqual([]);
    }
  });
});

const datasource = z.object({ type: z.literal('prometheus'), uid: z.literal('${datasource}') });
const dashboard = z.object({
  title: z.string(),
  uid: z.string(),
  schemaVersion: z.number(),
  templating: z.object({ list: z.array(z.object({ name: z.string(), type: z.string() })) }),
  panels: z.array(
    z.object({
      id: z.number(),
      type: z.string(),
      title: z.string(),
      datasource,
      gridPos: z.object({ h: z.number(), w: z.number(), x: z.number(), y: z.number() }),
      targets: z.array(z.object({ refId: z.string(), datasource, expr: z.string() })),
    }),
  ),
});
const alerts = z.object({
  groups: z.array(z.object({ rules: z.array(z.object({ alert: z.string(), expr: z.string() })) })),
});
