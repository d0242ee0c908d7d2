import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { collectDefaultMetrics, type Metric, type Registry } from 'prom-client';

/**
 * Node's metrics under their usual names, without those that cost:
 *
 * - prom-client watches the event loop with a timer every 10 ms, which burns some 0.6 % of a core for as long as the
 *   process idles, and counts the timer's own interval as lag. Here the loop is sampled once per iteration instead,
 *   which costs nothing that could be measured, and idles when the loop does.
 * - Active handles and requests walk every open socket at each scrape, to say what `connections` and
 *   `nodejs_active_resources` say as well.
 */
const walking = [
  'nodejs_active_handles',
  'nodejs_active_handles_total',
  'nodejs_active_requests',
  'nodejs_active_requests_total',
];

const lag = 'nodejs_eventloop_lag';
const never = 2 ** 31 - 1;

export function addProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: never });
  for (const { name } of registry.getMetricsAsArray()) {
    if (walking.includes(name) || name.startsWith(lag)) registry.removeSingleMetric(name);
  }
  addEventLoopLag(registry);
}

/** How long iterations of the event loop took since the last scrape. */
function addEventLoopLag(registry: Registry): void {
  const delays = monitorEventLoopDelay({ samplePerIteration: true });
  delays.enable();

  const gauge = (name: string, help: string, read: () => number | Promise<number>): void => {
    const get = async () => ({ name, help, type: 'gauge', values: [{ labels: {}, value: await read() }] });
    registry.registerMetric({ name, help, type: 'gauge', get } as unknown as Metric);
  };
  // Without a sample the histogram's extremes are those that it starts from.
  const seconds = (nanoseconds: number): number => (delays.count === 0 ? 0 : nanoseconds / 1e9);

  gauge(`${lag}_min_seconds`, 'Shortest iteration of the event loop since the last scrape.', () => seconds(delays.min));
  gauge(`${lag}_mean_seconds`, 'Mean iteration of the event loop since the last scrape.', () => seconds(delays.mean));
  gauge(`${lag}_stddev_seconds`, 'Standard deviation of iterations of the event loop since the last scrape.', () =>
    seconds(delays.stddev),
  );
  for (const percent of [50, 90, 99]) {
    const help = `The ${percent}th percentile of iterations of the event loop since the last scrape.`;
    gauge(`${lag}_p${percent}_seconds`, help, () => seconds(delays.percentile(percent)));
  }
  // Read last of those that share the histogram: metrics are read in the order in which they were registered.
  gauge(`${lag}_max_seconds`, 'Longest iteration of the event loop since the last scrape.', () => {
    const longest = seconds(delays.max);
    delays.reset();
    return longest;
  });
  gauge(`${lag}_seconds`, 'Time that a callback had to wait for its turn, measured by the scrape.', async () => {
    const began = performance.now();
    await nextTurn();
    return (performance.now() - began) / 1000;
  });
}
