import { describe, expect, it } from 'vitest';
import { Metrics } from '../../../src/telemetry/metrics.ts';
import { metricsTable } from '../../../src/telemetry/metrics-table.ts';
import { memoryLog, quietMetrics, readScrape, sampleOf, scrape } from './support.ts';

describe('a scrape', () => {
  it('is text that Prometheus reads, with help and type of every metric', async () => {
    const metrics = quietMetrics();
    const text = await metrics.metrics();
    expect(metrics.contentType).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(() => readScrape(text)).not.toThrow();
    for (const [name, { type, help }] of Object.entries(metricsTable)) {
      expect(text).toContain(`# HELP postern_${name} ${help}\n# TYPE postern_${name} ${type}\n`);
    }
  });

  it('is shared by those who ask at once: ten scrapers, one collection', async () => {
    const metrics = quietMetrics();
    let reads = 0;
    metrics.observe('cache_entries', () => [[{}, ++reads]]);
    const texts = await Promise.all(Array.from({ length: 10 }, () => metrics.metrics()));
    expect(reads).toBe(1);
    expect(new Set(texts).size).toBe(1);
    expect(sampleOf(await scrape(metrics), 'postern_cache_entries')).toBe(2);
  });

  it('is shared by requests that arrive in one turn of the event loop, although each has a callback of its own', async () => {
    const metrics = quietMetrics();
    let reads = 0;
    metrics.observe('cache_entries', () => [[{}, ++reads]]);
    const later = (): Promise<string> =>
      new Promise((resolve, reject) => {
        setTimeout(() => metrics.metrics().then(resolve, reject), 5);
      });
    const asked = Array.from({ length: 10 }, later);
    const until = performance.now() + 20;
    while (performance.now() < until);
    await Promise.all(asked);
    expect(reads).toBe(1);
  });

  it('goes on without a metric whose source throws, and says so once', async () => {
    const log = memoryLog();
    const metrics = new Metrics({ log, processMetrics: false });
    metrics.observe('cache_entries', () => {
      throw new Error('the cache is gone');
    });
    metrics.observe('draining', () => [[{}, 1]]);
    const series = await scrape(metrics);
    await metrics.metrics();
    expect(sampleOf(series, 'postern_cache_entries')).toBeUndefined();
    expect(sampleOf(series, 'postern_draining')).toBe(1);
    expect(log.spoken.map(({ level, fields }) => [level, fields.metric])).toEqual([['error', 'postern_cache_entries']]);
  });

  it('has Node’s metrics under their usual names, without those that walk every handle', async () => {
    const metrics = new Metrics({ log: memoryLog(), processMetrics: true });
    const names = new Set((await scrape(metrics)).map(({ name }) => name));
    for (const name of [
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'process_start_time_seconds',
      'process_open_fds',
      'nodejs_eventloop_lag_seconds',
      'nodejs_eventloop_lag_min_seconds',
      'nodejs_eventloop_lag_max_seconds',
      'nodejs_eventloop_lag_mean_seconds',
      'nodejs_eventloop_lag_stddev_seconds',
      'nodejs_eventloop_lag_p50_seconds',
      'nodejs_eventloop_lag_p90_seconds',
      'nodejs_eventloop_lag_p99_seconds',
      'nodejs_heap_size_used_bytes',
      'nodejs_version_info',
    ]) {
      expect(names).toContain(name);
    }
    expect([...names].filter(name => /active_(handles|requests)/.test(name))).toEqual([]);
  });

  it('tells of a blocked event loop by its longest iteration', async () => {
    const metrics = new Metrics({ log: memoryLog(), processMetrics: true });
    await metrics.metrics();
    await new Promise(resolve => setTimeout(resolve, 1));
    const until = performance.now() + 60;
    while (performance.now() < until);
    await new Promise(resolve => setTimeout(resolve, 1));
    expect(sampleOf(await scrape(metrics), 'nodejs_eventloop_lag_max_seconds')).toBeGreaterThan(0.05);
  });
});

describe('sources', () => {
  it('add up when they tell of the same series, so that no series stands twice', async () => {
    const metrics = quietMetrics();
    const rejected = metrics.counter('connections_rejected_total');
    rejected.inc({ reason: 'tls' }, 2);
    metrics.observe('connections_rejected_total', () => [
      [{ reason: 'limit' }, 3],
      [{ reason: 'limit' }, 4],
    ]);
    metrics.observe('connections_rejected_total', () => [[{ reason: 'tls' }, 5]]);
    for (let i = 0; i < 2; i++) {
      const series = await scrape(metrics);
      expect(sampleOf(series, 'postern_connections_rejected_total', { reason: 'limit' })).toBe(7);
      expect(sampleOf(series, 'postern_connections_rejected_total', { reason: 'tls' })).toBe(7);
    }
  });

  it('are counted as other outside of a closed set', async () => {
    const metrics = quietMetrics();
    metrics.observe('streams_closed_total', () => [
      [{ reason: 'boredom' as 'idle' }, 1],
      [{ reason: 'envy' as 'idle' }, 2],
      [{} as { reason: 'idle' }, 3],
    ]);
    const series = await scrape(metrics);
    expect(series.filter(({ name }) => name === 'postern_streams_closed_total')).toEqual([
      { name: 'postern_streams_closed_total', labels: { reason: 'other' }, value: 6 },
    ]);
  });

  it('leave out what is not a number', async () => {
    const metrics = quietMetrics();
    metrics.observe('feed_lag_seconds', () => [[{}, Number.NaN]]);
    expect(sampleOf(await scrape(metrics), 'postern_feed_lag_seconds')).toBeUndefined();
  });

  it('keep one series of a metric with free text', async () => {
    const metrics = quietMetrics();
    metrics.observe('config_info', () => [
      [{ hash: 'a"b\\c\nd' }, 1],
      [{ hash: 'second' }, 1],
    ]);
    const infos = (await scrape(metrics)).filter(({ name }) => name === 'postern_config_info');
    expect(infos).toEqual([{ name: 'postern_config_info', labels: { hash: 'a"b\\c\nd' }, value: 1 }]);
  });

  it('name at most 2,000 upstreams over the life of a process; more are one', async () => {
    const metrics = quietMetrics();
    let generation = 0;
    metrics.observe('queue_length', () =>
      Array.from({ length: 1500 }, (_, i) => [{ upstream: `u${generation}-${i}` }, 1] as const),
    );
    const requests = metrics.counter('upstream_requests_total');
    for (let i = 0; i < 5000; i++) requests.inc({ upstream: `u${i}`, result: 'relayed' });
    await metrics.metrics();
    generation = 1;
    const series = await scrape(metrics);
    expect(series.filter(({ name }) => name === 'postern_queue_length')).toHaveLength(501);
    expect(sampleOf(series, 'postern_queue_length', { upstream: 'other' })).toBe(1000);
    expect(series.filter(({ name }) => name === 'postern_upstream_requests_total')).toHaveLength(2001);
    expect(sampleOf(series, 'postern_upstream_requests_total', { upstream: 'other' })).toBe(3000);
  });
});

describe('handles', () => {
  it('show every series of a closed set from the start, so that rates see the first step', async () => {
    const metrics = quietMetrics();
    const reloads = metrics.counter('config_reloads_total');
    expect(sampleOf(await scrape(metrics), 'postern_config_reloads_total', { result: 'failure' })).toBe(0);
    reloads.inc({ result: 'failure' });
    reloads.inc({ result: 'success' }, 3);
    const series = await scrape(metrics);
    expect(sampleOf(series, 'postern_config_reloads_total', { result: 'failure' })).toBe(1);
    expect(sampleOf(series, 'postern_config_reloads_total', { result: 'success' })).toBe(3);
  });

  it('keep counters growing numbers, whatever they are given', async () => {
    const metrics = quietMetrics();
    const retries = metrics.counter('upstream_retries_total');
    for (const by of [Number.NaN, -1, Number.POSITIVE_INFINITY, 0, 1]) retries.inc({}, by);
    expect(sampleOf(await scrape(metrics), 'postern_upstream_retries_total')).toBe(1);
  });

  it('show a gauge once it was set', async () => {
    const metrics = quietMetrics();
    const successful = metrics.gauge('config_last_reload_successful');
    expect(sampleOf(await scrape(metrics), 'postern_config_last_reload_successful')).toBeUndefined();
    successful.set({}, 0);
    expect(sampleOf(await scrape(metrics), 'postern_config_last_reload_successful')).toBe(0);
  });

  it('render histograms cumulatively, a bound included in its bucket, with sum and count', async () => {
    const metrics = quietMetrics();
    const times = metrics.histogram('store_operation_duration_seconds');
    for (const seconds of [0.00025, 0.0003, 0.9, 60]) times.observe({}, seconds);
    times.at({}).observe(Number.NaN);
    for (let i = 0; i < 2; i++) {
      const series = await scrape(metrics);
      const at = (le: string) => sampleOf(series, 'postern_store_operation_duration_seconds_bucket', { le });
      expect([at('0.00025'), at('0.0005'), at('0.5'), at('1'), at('+Inf')]).toEqual([2, 3, 3, 4, 5]);
      expect(sampleOf(series, 'postern_store_operation_duration_seconds_count')).toBe(5);
      expect(sampleOf(series, 'postern_store_operation_duration_seconds_sum')).toBeCloseTo(60.90055, 10);
    }
  });

  it('are typed by the table: names, labels and closed values', () => {
    const metrics = quietMetrics();
    const wrong = (): void => {
      // @ts-expect-error no such metric
      metrics.counter('requests');
      // @ts-expect-error a gauge is no counter
      metrics.counter('draining');
      // @ts-expect-error no such value
      metrics.counter('config_reloads_total').inc({ result: 'perhaps' });
      // @ts-expect-error a label is missing
      metrics.observe('upstream_connections', () => [[{ upstream: 'u' }, 1]]);
      // @ts-expect-error a metric without labels has none
      metrics.observe('cache_entries', () => [[{ kind: 'all' }, 1]]);
      // @ts-expect-error a histogram has no samples of its own
      metrics.observe('store_operation_duration_seconds', () => [[{}, 1]]);
    };
    expect(wrong).toBeTypeOf('function');
  });
});
