import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Metric, Registry } from 'prom-client';
import type { Log } from '../ports/log.ts';
import { Family, type Source } from './family.ts';
import { type LabelsOf, type MetricName, metricsTable, type NameOf } from './metrics-table.ts';
import { addProcessMetrics } from './process-metrics.ts';
import type { HistogramSeries, LabelSet, Line, Series } from './series.ts';

/** The compiler cannot see through `LabelsOf` of a name that it does not know: all of its values are strings. */
const setOf = (labels: object): LabelSet => labels as LabelSet;

type Scalar = NameOf<'counter' | 'gauge'>;
type Sources = { readonly [N in Scalar]: () => readonly (readonly [labels: LabelsOf<N>, value: number])[] };

export interface Counter<N extends MetricName> {
  inc(labels: LabelsOf<N>, by?: number): void;
  /** The series itself, for those who add to it often. */
  at(labels: LabelsOf<N>): Pick<Series, 'inc'>;
}

export interface Gauge<N extends MetricName> {
  set(labels: LabelsOf<N>, value: number): void;
}

export interface Histogram<N extends MetricName> {
  observe(labels: LabelsOf<N>, value: number): void;
  at(labels: LabelsOf<N>): Pick<HistogramSeries, 'observe'>;
}

export interface MetricsOptions {
  readonly log: Log;
  /** Node's own metrics as well. They are the process's, so only one of its `Metrics` should have them. */
  readonly processMetrics: boolean;
}

/**
 * Every metric of the process, read when it is scraped. What changes with each request is a plain number somewhere:
 * prom-client only prints.
 */
export class Metrics {
  readonly contentType: string;
  readonly #registry = new Registry();
  readonly #families = new Map<MetricName, Family>();
  readonly #log: Log;
  readonly #faulty = new Set<string>();
  #collecting: Promise<string> | null = null;

  constructor({ log, processMetrics }: MetricsOptions) {
    this.#log = log;
    this.contentType = this.#registry.contentType;
    for (const [name, entry] of Object.entries(metricsTable)) {
      const family = new Family(name, entry);
      this.#families.set(name as MetricName, family);
      this.#register(family);
    }
    if (processMetrics) addProcessMetrics(this.#registry);
  }

  counter<N extends NameOf<'counter'>>(name: N): Counter<N> {
    const family = this.#family(name);
    family.startAtZero();
    return {
      inc: (labels, by) => family.series(setOf(labels)).inc(by),
      at: labels => family.series(setOf(labels)),
    };
  }

  gauge<N extends NameOf<'gauge'>>(name: N): Gauge<N> {
    const family = this.#family(name);
    return { set: (labels, value) => family.series(setOf(labels)).set(value) };
  }

  histogram<N extends NameOf<'histogram'>>(name: N): Histogram<N> {
    const family = this.#family(name);
    return {
      observe: (labels, value) => family.histogram(setOf(labels)).observe(value),
      at: labels => family.histogram(setOf(labels)),
    };
  }

  /** Joins numbers that somebody else keeps: they are asked for when the metric is scraped. Several sources add up. */
  observe<N extends Scalar>(name: N, source: Sources[N]): void {
    this.#family(name).observe(source as Source);
  }

  /** Joins lines that somebody else keeps and bounds. */
  provide(name: MetricName, lines: () => readonly Line[]): void {
    this.#family(name).provide(lines);
  }

  /**
   * The text of a scrape. Scrapes that arrive together share one collection: it waits for the end of this turn of the
   * event loop, in which every request that has already arrived is seen.
   */
  metrics(): Promise<string> {
    this.#collecting ??= this.#collect().finally(() => {
      this.#collecting = null;
    });
    return this.#collecting;
  }

  async #collect(): Promise<string> {
    await nextTurn();
    return this.#registry.metrics();
  }

  #family(name: MetricName): Family {
    return this.#families.get(name)!;
  }

  /** prom-client asks a metric for no more than this when it prints it. */
  #register(family: Family): void {
    const { name, entry } = family;
    const { help, type } = entry;
    const printed = { name, help, type, get: async () => ({ name, help, type, values: this.#linesOf(family) }) };
    this.#registry.registerMetric(printed as unknown as Metric);
  }

  /** A source that fails takes its own metric out of the scrape, and no other. */
  #linesOf(family: Family): readonly Line[] {
    try {
      return family.lines();
    } catch (error) {
      if (!this.#faulty.has(family.name)) {
        this.#faulty.add(family.name);
        this.#log.error({ metric: family.name }, 'a metric could not be read and is left out', error);
      }
      return [];
    }
  }
}
