/**
 * Numbers that are added to in the hot path and printed by a scrape. They have the shape that prom-client prints, so
 * that a scrape copies nothing: a plain number, and the name of its line with every label, written once.
 */
export type LabelSet = Readonly<Record<string, string>>;

export interface Line {
  readonly metricName: string;
  /** Always empty: the labels stand in the name, because prom-client would write them again for each scrape. */
  readonly labels: LabelSet;
  readonly sharedLabels: LabelSet;
  readonly value: number;
}

const none: LabelSet = Object.freeze({});

/** A counter's or gauge's series, or one line of a histogram. */
export class Series implements Line {
  value = 0;
  readonly metricName: string;
  readonly labels = none;
  readonly sharedLabels = none;

  constructor(fullName: string, labels: LabelSet) {
    this.metricName = lineName(fullName, labels);
  }

  /** Counters only grow, and stay numbers: what is neither is not counted. */
  inc(by = 1): void {
    if (by > 0 && by < Number.POSITIVE_INFINITY) this.value += by;
  }

  set(value: number): void {
    this.value = value;
  }
}

function lineName(fullName: string, labels: LabelSet): string {
  const written = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return written.length === 0 ? fullName : `${fullName}{${written.join(',')}}`;
}

/** As the text format wants it. */
const escapeLabel = (value: string): string =>
  value.replace(/[\\"\n]/g, character => (character === '\n' ? '\\n' : `\\${character}`));

/** A histogram's series: buckets, +Inf, sum and count. */
export class HistogramSeries {
  readonly #bounds: readonly number[];
  /** Observations by bucket, each in one; added up when they are read. */
  readonly #counts: number[];
  readonly #lines: readonly Series[];
  #sum = 0;

  constructor(fullName: string, bounds: readonly number[], labels: LabelSet) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
    this.#lines = [
      ...[...bounds.map(String), '+Inf'].map(le => new Series(`${fullName}_bucket`, { ...labels, le })),
      new Series(`${fullName}_sum`, labels),
      new Series(`${fullName}_count`, labels),
    ];
  }

  /** Lines that a histogram with these buckets prints. */
  static lineCount(bounds: readonly number[]): number {
    return bounds.length + 3;
  }

  observe(value: number): void {
    // A clock that failed us must not turn the sum into NaN for good.
    const seen = value > 0 && value < Number.POSITIVE_INFINITY ? value : 0;
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && seen > bounds[at]!) at++;
    this.#counts[at]!++;
    this.#sum += seen;
  }

  lines(): readonly Line[] {
    let total = 0;
    for (let i = 0; i < this.#counts.length; i++) {
      total += this.#counts[i]!;
      this.#lines[i]!.value = total;
    }
    this.#lines[this.#counts.length]!.value = this.#sum;
    this.#lines[this.#counts.length + 1]!.value = total;
    return this.#lines;
  }
}
