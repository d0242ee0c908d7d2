import { other } from './labels.ts';
import { type LabelValues, type MetricEntry, metricPrefix } from './metrics-table.ts';
import { HistogramSeries, type LabelSet, type Line, Series } from './series.ts';

/** Labels and a number: one sample of a source. */
export type Sample = readonly [labels: LabelSet, value: number];
export type Source = () => readonly Sample[];

/** Configured names that a label can have over the life of a process, whatever is reloaded. */
const mostConfigured = 2000;

/**
 * One metric: series that handles add to, sources that are read when it is scraped, or lines that somebody else keeps.
 * Every label goes through here, so that none has a value that the table does not allow it.
 */
export class Family {
  readonly name: string;
  readonly entry: MetricEntry;
  readonly #labels: readonly (readonly [name: string, values: LabelValues, known: Set<string>])[];
  readonly #series = new Map<string, Series>();
  readonly #histograms = new Map<string, HistogramSeries>();
  readonly #sources: Source[] = [];
  #provided: (() => readonly Line[]) | null = null;

  constructor(name: string, entry: MetricEntry) {
    this.name = metricPrefix + name;
    this.entry = entry;
    this.#labels = Object.entries(entry.labels).map(
      ([label, values]) => [label, values, new Set(typeof values === 'string' ? [] : values)] as const,
    );
  }

  /** The series of these labels, made when it is first asked for. */
  series(labels: LabelSet): Series {
    return this.#seriesIn(this.#series, labels);
  }

  histogram(labels: LabelSet): HistogramSeries {
    const values = this.#valuesOf(labels);
    const key = values.join('\0');
    let series = this.#histograms.get(key);
    if (series === undefined) {
      series = new HistogramSeries(this.name, this.entry.buckets ?? [], this.#named(values));
      this.#histograms.set(key, series);
    }
    return series;
  }

  /** Makes every series whose labels are known beforehand, so that rates see the step from 0 to 1. */
  startAtZero(): void {
    const sets = this.#labels.map(([, values]) => values);
    if (sets.some(values => typeof values === 'string')) return;
    let combinations: string[][] = [[]];
    for (const values of sets as (readonly string[])[]) {
      combinations = combinations.flatMap(begun => values.map(value => [...begun, value]));
    }
    for (const values of combinations) this.series(this.#named(values));
  }

  observe(source: Source): void {
    this.#sources.push(source);
  }

  provide(lines: () => readonly Line[]): void {
    this.#provided = lines;
  }

  /** What a scrape prints. Throws when a source does. */
  lines(): Line[] {
    const lines: Line[] = this.#provided === null ? [] : [...this.#provided()];
    for (const histogram of this.#histograms.values()) lines.push(...histogram.lines());
    if (this.#sources.length === 0) {
      lines.push(...this.#series.values());
      return lines;
    }
    // Samples with the same labels are added up: a scrape that has a series twice is refused as a whole.
    const sampled = new Map<string, Series>();
    for (const source of this.#sources) {
      for (const [labels, value] of source()) {
        if (!Number.isNaN(value)) this.#seriesIn(sampled, labels).value += value;
      }
    }
    for (const [key, series] of this.#series) {
      const same = sampled.get(key);
      if (same === undefined) sampled.set(key, series);
      else same.value += series.value;
    }
    const single = this.#labels.some(([, values]) => values === 'text');
    lines.push(...(single ? [...sampled.values()].slice(0, 1) : sampled.values()));
    return lines;
  }

  #seriesIn(all: Map<string, Series>, labels: LabelSet): Series {
    const values = this.#valuesOf(labels);
    const key = values.join('\0');
    let series = all.get(key);
    if (series === undefined) {
      series = new Series(this.name, this.#named(values));
      all.set(key, series);
    }
    return series;
  }

  #valuesOf(labels: LabelSet): string[] {
    return this.#labels.map(([name, values, known]) => {
      const value = (labels[name] ?? other).toWellFormed();
      if (values === 'text' || values === 'bounded' || known.has(value)) return value;
      if (typeof values !== 'string' || known.size >= mostConfigured) return other;
      known.add(value);
      return value;
    });
  }

  #named(values: readonly string[]): Record<string, string> {
    return Object.fromEntries(this.#labels.map(([name], i) => [name, values[i]!]));
  }
}
