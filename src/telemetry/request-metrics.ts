import type { Reason } from '../core/decision.ts';
import { invalidCauses } from '../core/token.ts';
import { outcomes, type RequestRecord } from '../ports/recorder.ts';
import {
  classLabels,
  classOfStatusIndex,
  methodLabels,
  other,
  reasonLabels,
  statusIndex,
  statusLabels,
} from './labels.ts';
import type { Metrics } from './metrics.ts';
import { metricPrefix, metricsTable } from './metrics-table.ts';
import { HistogramSeries, type Line, Series } from './series.ts';

/** Bounds on the series that requests can make, whatever clients and upstreams do. */
export const seriesLimits = {
  /** Of one route: its requests by method, status and outcome, its histogram, and its upstream's own series. */
  perRoute: 400,
  /** Of the requests that met no route. */
  withoutRoute: 80,
  /** Of decisions under shadow mode: the pairs that can stand against each other. */
  shadow: 17,
  /** Patterns that keep a name of their own over the life of a process, whatever is reloaded. */
  routes: 2000,
} as const;

/** Kept free below `perRoute` for the series that come with a route's upstream. */
const upstreamShare = 20;

const durations = metricsTable.request_duration_seconds;
const histogramLines = HistogramSeries.lineCount(durations.buckets);
/** Where surplus goes: method `other`, the status's class, every outcome. */
const foldedSeries = classLabels.length * outcomes.length;

const methodIndex = new Map<string, number>(methodLabels.map((method, i) => [method, i]));
const otherMethod = methodLabels.indexOf(other);
const outcomeIndex = new Map<string, number>(outcomes.map((outcome, i) => [outcome, i]));
const unknownOutcome = outcomes.indexOf('failed');
const firstClass = statusLabels.length - classLabels.length;

/** Requests of one route pattern. */
class RouteSeries {
  readonly duration: HistogramSeries;
  readonly requests: Series[] = [];
  readonly #route: string;
  readonly #byCombination = new Map<number, Series>();
  /** Combinations that may still get a series of their own. */
  #free: number;

  constructor(route: string, limit: number) {
    this.#route = route;
    this.#free = limit - histogramLines - foldedSeries;
    this.duration = new HistogramSeries(`${metricPrefix}request_duration_seconds`, durations.buckets, { route });
  }

  count(method: number, status: number, outcome: number): void {
    const combination = (method * statusLabels.length + status) * outcomes.length + outcome;
    const series = this.#byCombination.get(combination) ?? this.#admit(combination, method, status, outcome);
    series.value++;
  }

  #admit(combination: number, method: number, status: number, outcome: number): Series {
    const folded = method === otherMethod && status >= firstClass;
    if (!folded && this.#free === 0) {
      const klass = firstClass + classOfStatusIndex(status);
      const into = (otherMethod * statusLabels.length + klass) * outcomes.length + outcome;
      return this.#byCombination.get(into) ?? this.#admit(into, otherMethod, klass, outcome);
    }
    if (!folded) this.#free--;
    const series = new Series(`${metricPrefix}requests_total`, {
      route: this.#route,
      method: methodLabels[method]!,
      code: statusLabels[status]!,
      outcome: outcomes[outcome]!,
    });
    this.#byCombination.set(combination, series);
    this.requests.push(series);
    return series;
  }
}

/**
 * Reasons under shadow mode, and what stands where each would have: requests whose token is not valid pass as nobody's. What
 * is refused all the same, as without shadow mode, is `other`.
 */
const liveOf: ReadonlyMap<Reason, 'allowed' | 'public'> = new Map<Reason, 'allowed' | 'public'>([
  ['allowed', 'allowed'],
  ['insufficient_scope', 'allowed'],
  ['constraint_failed', 'allowed'],
  ['basic_required', 'allowed'],
  ['limit_exceeded', 'allowed'],
  ['public', 'public'],
  ['missing_token', 'public'],
  ['too_many_failures', 'public'],
  ...invalidCauses.map(cause => [`invalid_token_${cause}`, 'public'] as const),
]);

/** Counts requests from their records. */
export class RequestMetrics {
  readonly #byPattern = new Map<string, RouteSeries>();
  readonly #routes = new Map<string, RouteSeries>();
  readonly #none = new RouteSeries('none', seriesLimits.withoutRoute);
  readonly #surplus = new RouteSeries(other, seriesLimits.perRoute - upstreamShare);
  readonly #overhead: Pick<HistogramSeries, 'observe'>;
  readonly #bytesIn: Pick<Series, 'inc'>;
  readonly #bytesOut: Pick<Series, 'inc'>;
  readonly #decisions: ReadonlyMap<Reason, Pick<Series, 'inc'>>;
  readonly #shadow: ReadonlyMap<Reason, Pick<Series, 'inc'>>;
  readonly #shadowRefused: Pick<Series, 'inc'>;

  constructor(metrics: Metrics) {
    this.#overhead = metrics.histogram('request_overhead_seconds').at({});
    const bytes = metrics.counter('request_bytes_total');
    this.#bytesIn = bytes.at({ direction: 'in' });
    this.#bytesOut = bytes.at({ direction: 'out' });
    const decisions = metrics.counter('decisions_total');
    this.#decisions = new Map(reasonLabels.map(reason => [reason, decisions.at({ reason })]));
    const shadow = metrics.counter('shadow_decisions_total');
    this.#shadow = new Map([...liveOf].map(([reason, live]) => [reason, shadow.at({ live, shadow: reason })]));
    this.#shadowRefused = shadow.at({ live: other, shadow: other });
    metrics.provide('requests_total', () => this.#seen().flatMap(route => route.requests));
    metrics.provide('request_duration_seconds', () =>
      this.#seen().flatMap((route): readonly Line[] => route.duration.lines()),
    );
  }

  record(record: RequestRecord): void {
    const route = record.route === null ? this.#none : this.#routeOf(record.route.pattern);
    const method = methodIndex.get(record.method) ?? otherMethod;
    route.count(method, statusIndex(record.status), outcomeIndex.get(record.outcome) ?? unknownOutcome);
    route.duration.observe(record.durationMs / 1000);
    this.#overhead.observe(record.overheadMs / 1000);
    this.#bytesIn.inc(record.bytesIn);
    this.#bytesOut.inc(record.bytesOut);
    this.#decisions.get(record.reason)?.inc();
    if (record.shadow !== null) this.#shadowed(record.reason, record.shadow);
  }

  /** What became of a request that was let through is not asked here. */
  #shadowed(stood: Reason, shadow: Reason): void {
    const refused = stood === shadow && stood !== 'allowed' && stood !== 'public';
    ((refused ? undefined : this.#shadow.get(shadow)) ?? this.#shadowRefused).inc();
  }

  #routeOf(pattern: string): RouteSeries {
    return this.#byPattern.get(pattern) ?? this.#meet(pattern);
  }

  /** A pattern that was not seen before. Its series stay for good: a counter that vanished would read as a restart. */
  #meet(pattern: string): RouteSeries {
    // Two patterns must not print alike.
    const label = pattern.toWellFormed();
    let route = this.#routes.get(label);
    if (route === undefined) {
      if (this.#routes.size >= seriesLimits.routes) return this.#surplus;
      route = new RouteSeries(label, seriesLimits.perRoute - upstreamShare);
      this.#routes.set(label, route);
    }
    this.#byPattern.set(pattern, route);
    return route;
  }

  #seen(): RouteSeries[] {
    return [this.#none, this.#surplus, ...this.#routes.values()].filter(route => route.requests.length > 0);
  }
}
