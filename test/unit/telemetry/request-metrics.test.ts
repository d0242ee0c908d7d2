import { describe, expect, it } from 'vitest';
import { invalidCauses } from '../../../src/core/token.ts';
import { codes } from '../../../src/errors.ts';
import { outcomes } from '../../../src/ports/recorder.ts';
import { reasonLabels } from '../../../src/telemetry/labels.ts';
import { Metrics } from '../../../src/telemetry/metrics.ts';
import { RequestMetrics, seriesLimits } from '../../../src/telemetry/request-metrics.ts';
import { below, pick, randomFrom, seed } from '../../support/random.ts';
import { memoryLog, quietMetrics, recordOf, routeOf, type ScrapedSeries, sampleOf, scrape } from './support.ts';

function setUp() {
  const metrics = quietMetrics();
  return { metrics, requests: new RequestMetrics(metrics) };
}

const total = (series: readonly ScrapedSeries[], name: string): number =>
  series.filter(one => one.name === name).reduce((sum, { value }) => sum + value, 0);

const hostileMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'XAAA', '', 'get', '\n"'];

describe('requests', () => {
  it('are counted by route pattern, method, status and outcome, and by nothing that a client writes', async () => {
    const { metrics, requests } = setUp();
    requests.record(recordOf());
    requests.record(recordOf({ path: '/widgets/8', client: '198.51.100.1' }));
    requests.record(recordOf({ route: null, method: 'BREW', status: 418, reason: 'no_route', outcome: 'refused' }));
    const series = (await scrape(metrics)).filter(({ name }) => name === 'postern_requests_total');
    expect(
      series.map(({ labels, value }) => [labels.route, labels.method, labels.code, labels.outcome, value]),
    ).toEqual([
      ['none', 'other', '4xx', 'refused', 1],
      ['/widgets/{id}', 'GET', '200', 'allowed', 2],
    ]);
  });

  it('are timed by route, and our part of them over all', async () => {
    const { metrics, requests } = setUp();
    requests.record(recordOf({ durationMs: 30, overheadMs: 0.2 }));
    requests.record(recordOf({ durationMs: 3000, overheadMs: 7 }));
    const series = await scrape(metrics);
    const route = '/widgets/{id}';
    const within = (le: string) => sampleOf(series, 'postern_request_duration_seconds_bucket', { route, le });
    expect([within('0.025'), within('0.05'), within('2.5'), within('5'), within('+Inf')]).toEqual([0, 1, 1, 2, 2]);
    expect(sampleOf(series, 'postern_request_duration_seconds_sum', { route })).toBeCloseTo(3.03, 9);
    expect(sampleOf(series, 'postern_request_overhead_seconds_bucket', { le: '0.00025' })).toBe(1);
    expect(sampleOf(series, 'postern_request_overhead_seconds_count')).toBe(2);
  });

  it('add their bytes, and numbers that are none add nothing', async () => {
    const { metrics, requests } = setUp();
    requests.record(recordOf({ bytesIn: 5, bytesOut: 2 ** 40 }));
    requests.record(recordOf({ bytesIn: Number.NaN, bytesOut: -7, durationMs: Number.NaN, overheadMs: -1 }));
    const series = await scrape(metrics);
    expect(sampleOf(series, 'postern_request_bytes_total', { direction: 'in' })).toBe(5);
    expect(sampleOf(series, 'postern_request_bytes_total', { direction: 'out' })).toBe(2 ** 40);
    expect(sampleOf(series, 'postern_request_overhead_seconds_sum')).toBe(0.00025);
  });

  it('are decisions under shadow mode by what stood and what would have, in few series whatever comes', async () => {
    const { metrics, requests } = setUp();
    requests.record(recordOf({ shadow: 'allowed' }));
    requests.record(recordOf({ shadow: 'insufficient_scope', outcome: 'shadow' }));
    requests.record(recordOf({ shadow: 'insufficient_scope', outcome: 'failed', reason: 'upstream_failed' }));
    requests.record(recordOf({ shadow: 'invalid_token_expired', outcome: 'shadow', reason: 'public' }));
    requests.record(recordOf({ shadow: 'store_unavailable', outcome: 'failed', reason: 'store_unavailable' }));
    requests.record(recordOf({ shadow: 'invalid_token_revoked', outcome: 'refused', reason: 'invalid_token_revoked' }));
    const series = await scrape(metrics);
    const counted = (live: string, shadow: string) =>
      sampleOf(series, 'postern_shadow_decisions_total', { live, shadow });
    expect(counted('allowed', 'allowed')).toBe(1);
    expect(counted('allowed', 'insufficient_scope')).toBe(2);
    expect(counted('public', 'invalid_token_expired')).toBe(1);
    expect(counted('other', 'other')).toBe(2);
    for (const reason of reasonLabels) for (const shadow of reasonLabels) requests.record(recordOf({ reason, shadow }));
    const all = (await scrape(metrics)).filter(({ name }) => name === 'postern_shadow_decisions_total');
    expect(all.length).toBeLessThanOrEqual(seriesLimits.shadow);
    expect(total(all, 'postern_shadow_decisions_total')).toBe(6 + reasonLabels.length ** 2);
  });

  it('are decisions by reason: allowed, public, every code, and the causes of an invalid token', async () => {
    const { metrics, requests } = setUp();
    for (const reason of reasonLabels) requests.record(recordOf({ reason }));
    const counted = (await scrape(metrics)).filter(({ name }) => name === 'postern_decisions_total');
    expect(new Set(counted.map(({ labels }) => labels.reason))).toEqual(
      new Set([
        'allowed',
        'public',
        ...Object.keys(codes).filter(code => code !== 'invalid_token'),
        ...invalidCauses.map(cause => `invalid_token_${cause}`),
      ]),
    );
    expect(counted.every(({ value }) => value === 1)).toBe(true);
  });
});

describe('the number of series', () => {
  it(`10,000 hostile records never make more than 400 series for a route, and lose no request (seed ${seed})`, async () => {
    const { metrics, requests } = setUp();
    const random = randomFrom(seed);
    const routes = [routeOf('/a'), routeOf('/b/{c}'), null];
    for (let i = 0; i < 10_000; i++) {
      requests.record(
        recordOf({
          route: pick(random, routes),
          method: below(random, 3) === 0 ? `X${i}` : pick(random, hostileMethods),
          status: below(random, 5) === 0 ? pick(random, [0, -1, Number.NaN, 1e9, 700, 99.5]) : 100 + below(random, 500),
          outcome: pick(random, outcomes),
          reason: pick(random, reasonLabels),
          path: `/${i}`,
        }),
      );
    }
    const series = await scrape(metrics);
    const ofRoute = (route: string) => series.filter(({ labels }) => labels.route === route).length;
    expect(ofRoute('/a')).toBeLessThanOrEqual(400);
    expect(ofRoute('/b/{c}')).toBeLessThanOrEqual(400);
    expect(ofRoute('none')).toBeLessThanOrEqual(seriesLimits.withoutRoute);
    expect(total(series, 'postern_requests_total')).toBe(10_000);
    expect(total(series, 'postern_decisions_total')).toBe(10_000);
  });

  it('reaches the bound and no more when every combination comes, and folds the rest into other and the class', async () => {
    const { metrics, requests } = setUp();
    for (const outcome of outcomes) {
      for (const method of hostileMethods) {
        for (let status = 0; status < 700; status++) requests.record(recordOf({ method, status, outcome }));
      }
    }
    const series = await scrape(metrics);
    const ofRoute = series.filter(({ labels }) => labels.route === '/widgets/{id}');
    expect(ofRoute).toHaveLength(seriesLimits.perRoute - 20);
    expect(total(series, 'postern_requests_total')).toBe(outcomes.length * hostileMethods.length * 700);
    for (const outcome of outcomes) {
      for (const code of ['1xx', '2xx', '3xx', '4xx', '5xx', 'other']) {
        expect(sampleOf(series, 'postern_requests_total', { method: 'other', code, outcome })).toBeGreaterThan(0);
      }
    }
    // What had a series of its own before the bound was reached goes on in it.
    const before = sampleOf(series, 'postern_requests_total', { method: 'GET', code: '200', outcome: 'allowed' })!;
    requests.record(recordOf());
    const after = sampleOf(await scrape(metrics), 'postern_requests_total', {
      method: 'GET',
      code: '200',
      outcome: 'allowed',
    });
    expect(after).toBe(before + 1);
  });

  it('stays within 500 outside of routes, everything that can happen having happened', async () => {
    const metrics = new Metrics({ log: memoryLog(), processMetrics: true });
    const requests = new RequestMetrics(metrics);
    metrics.counter('store_operations_total');
    metrics.counter('admin_requests_total');
    for (const reason of [...reasonLabels, 'nonsense' as 'public']) {
      for (const method of hostileMethods) {
        for (let status = 90; status < 610; status += 3) {
          requests.record(recordOf({ route: null, method, status, reason, outcome: outcomes[status % 5]! }));
        }
      }
    }
    const series = await scrape(metrics);
    expect(series.filter(({ labels }) => labels.route === 'none').length).toBeLessThanOrEqual(
      seriesLimits.withoutRoute,
    );
    expect(series.length).toBeLessThanOrEqual(500);
  });

  it('keeps the routes that were seen, and counts those beyond 2,000 patterns as other', async () => {
    const { metrics, requests } = setUp();
    for (let i = 0; i < 2500; i++) requests.record(recordOf({ route: routeOf(`/reload-${i}/{id}`) }));
    requests.record(recordOf({ route: routeOf('/reload-0/{id}') }));
    const series = await scrape(metrics);
    const routes = new Set(series.map(({ labels }) => labels.route).filter(route => route !== undefined));
    expect(routes.size).toBe(2001);
    expect(sampleOf(series, 'postern_requests_total', { route: 'other' })).toBe(500);
    expect(sampleOf(series, 'postern_requests_total', { route: '/reload-0/{id}' })).toBe(2);
  });

  it('prints no two routes alike, whatever their patterns are made of', async () => {
    const { metrics, requests } = setUp();
    const patterns = ['/\ud800', '/\ud801', '/\ufffd', '/"', '/\\', '/\\"', '/\n', '/é'];
    for (const pattern of patterns) requests.record(recordOf({ route: routeOf(pattern) }));
    const series = await scrape(metrics);
    expect(sampleOf(series, 'postern_requests_total', { route: '/\ufffd' })).toBe(3);
    expect(total(series, 'postern_requests_total')).toBe(patterns.length);
  });
});
