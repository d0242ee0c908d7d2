import { describe, expect, it } from 'vitest';
import { codes } from '../../../src/errors.ts';
import { other, statusLabel } from '../../../src/telemetry/labels.ts';
import { Metrics } from '../../../src/telemetry/metrics.ts';
import { metricsMarkdown } from '../../../src/telemetry/metrics-markdown.ts';
import { type MetricEntry, metricsTable } from '../../../src/telemetry/metrics-table.ts';
import { seriesLimits } from '../../../src/telemetry/request-metrics.ts';
import { memoryLog, readScrape } from './support.ts';

const table = Object.entries(metricsTable as Readonly<Record<string, MetricEntry>>);

/** Series that a metric can have at most, strangers counted as `other` included; routes and upstreams apart. */
function bound({ labels, buckets }: MetricEntry): number {
  let combinations = 1;
  for (const values of Object.values(labels)) {
    if (values === 'route' || values === 'configured' || values === 'bounded') return 0;
    if (values !== 'text') combinations *= new Set([...values, other]).size;
  }
  return combinations * (buckets === undefined ? 1 : buckets.length + 3);
}

describe('the table of metrics', () => {
  it('names counters with _total, times with _seconds, and nothing else so', () => {
    for (const [name, { type }] of table) {
      expect(name, name).toMatch(/^[a-z]+(_[a-z]+)*$/);
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      if (type === 'histogram') expect(name).toMatch(/_seconds$/);
    }
  });

  it('has buckets that ascend for histograms, and for no other type', () => {
    for (const [name, { type, buckets }] of table) {
      expect(buckets !== undefined, name).toBe(type === 'histogram');
      if (buckets !== undefined) expect([...buckets].sort((a, b) => a - b)).toEqual(buckets);
    }
  });

  it('leaves room in 500 series for everything but routes and upstreams, and for metrics to come', async () => {
    const ours = table.reduce((sum, [, entry]) => sum + bound(entry), 0);
    const metrics = new Metrics({ log: memoryLog(), processMetrics: true });
    const nodes = readScrape(await metrics.metrics()).filter(({ name }) => !name.startsWith('postern_')).length;
    // Kinds of garbage collection that have not happened yet, and kinds of resources that are not in use.
    const later = 4 * 9 + 20;
    const { withoutRoute, shadow } = seriesLimits;
    expect(ours + nodes + later + withoutRoute + shadow).toBeLessThanOrEqual(500);
  });

  it('labels a status exactly when we answer it or it matters of upstreams, else by its class', () => {
    const exact = [200, 201, 204, 206, 301, 302, 304, ...Object.values(codes).map(({ status }) => status)];
    // What the admin API alone answers with is an upstream's own word where it is counted by route.
    const management = [409, 412, 422];
    for (let status = 100; status < 600; status++) {
      expect(statusLabel(status)).toBe(
        exact.includes(status) && !management.includes(status) ? String(status) : `${Math.floor(status / 100)}xx`,
      );
    }
    for (const status of [0, -1, 99, 600, 999, 1e9, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(statusLabel(status)).toBe('other');
    }
    expect(statusLabel(200.5)).toBe('200');
  });

  it('renders one row of the README for each metric', () => {
    const rows = metricsMarkdown().trimEnd().split('\n');
    expect(rows).toHaveLength(table.length + 2);
    for (const [i, [name, { labels }]] of table.entries()) {
      const cells = rows[i + 2]!.split(' | ');
      expect(cells).toHaveLength(4);
      expect(cells[0]).toBe(`| \`postern_${name}\``);
      for (const label of Object.keys(labels)) expect(cells[2]).toContain(`\`${label}\``);
    }
  });
});
