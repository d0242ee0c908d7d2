import type { Route } from '../../../src/core/route.ts';
import type { Subject } from '../../../src/core/token.ts';
import type { Log, LogFields } from '../../../src/ports/log.ts';
import type { RequestRecord } from '../../../src/ports/recorder.ts';
import { Metrics } from '../../../src/telemetry/metrics.ts';

export interface Spoken {
  readonly level: string;
  readonly fields: LogFields;
  readonly message: string;
  readonly error: unknown;
}

export function memoryLog(): Log & { readonly spoken: Spoken[] } {
  const spoken: Spoken[] = [];
  const speak =
    (level: string) =>
    (fields: LogFields, message: string, error?: unknown): void => {
      spoken.push({ level, fields, message, error });
    };
  const error = speak('error');
  return { spoken, info: speak('info'), warn: speak('warn'), error, fault: (cause, text) => error({}, text, cause) };
}

export const quietMetrics = (): Metrics => new Metrics({ log: memoryLog(), processMetrics: false });

export const routeOf = (pattern: string): Route => ({ pattern }) as Route;

export const subjectOf = (id: string, owner: string | null): Subject => ({ token: { id, owner } }) as Subject;

const ordinary: RequestRecord = {
  requestId: '018f3c2e-7b1a-7c3d-9f00-0123456789ab',
  parentRequestId: null,
  route: routeOf('/widgets/{id}'),
  method: 'GET',
  path: '/widgets/7',
  status: 200,
  reason: 'allowed',
  shadow: null,
  outcome: 'allowed',
  subject: subjectOf('tok_9fK2mQ7xR4vB1nZ8cL5w', 'acme'),
  client: '203.0.113.57',
  peer: '10.1.2.3',
  upstream: 'widgets',
  detail: null,
  fault: null,
  retried: false,
  bytesIn: 10,
  bytesOut: 20,
  durationMs: 12.3456,
  overheadMs: 0.25,
  upstreamMs: null,
  at: Date.UTC(2025, 10, 22, 1, 2, 3, 4),
};

export const recordOf = (changes: Partial<RequestRecord> = {}): RequestRecord => ({ ...ordinary, ...changes });

export interface ScrapedSeries {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A strict reader of the text format: throws at anything that Prometheus would refuse. */
export function readScrape(text: string): ScrapedSeries[] {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const series: ScrapedSeries[] = [];
  const seen = new Set<string>();
  const types = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue;
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (type !== null) {
      if (types.has(type[1]!)) throw new Error(`${type[1]} has two types`);
      types.set(type[1]!, type[2]!);
      continue;
    }
    const parts = /^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (parts === null) throw new Error(`not a sample: ${line}`);
    const [, name, written = '', number] = parts;
    const labels: Record<string, string> = {};
    let rest = written;
    while (rest !== '') {
      const label = /^([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"(?:,(?=.)|$)/.exec(rest);
      if (label === null) throw new Error(`not a label: ${rest}`);
      labels[label[1]!] = label[2]!.replace(/\\(["\\n])/g, (_, c: string) => (c === 'n' ? '\n' : c));
      rest = rest.slice(label[0].length);
    }
    const identity = `${name}${JSON.stringify(Object.entries(labels).sort())}`;
    if (seen.has(identity)) throw new Error(`twice: ${line}`);
    seen.add(identity);
    const value = number === '+Inf' ? Number.POSITIVE_INFINITY : Number(number);
    if (Number.isNaN(value)) throw new Error(`not a number: ${line}`);
    if (!types.has(name!) && !types.has(name!.replace(/_(bucket|sum|count)$/, ''))) throw new Error(`no type: ${line}`);
    series.push({ name: name!, labels, value });
  }
  return series;
}

export async function scrape(metrics: Metrics): Promise<ScrapedSeries[]> {
  return readScrape(await metrics.metrics());
}

/** The value of the one series with this name and these labels; undefined when there is none. */
export function sampleOf(
  series: readonly ScrapedSeries[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const wanted = Object.entries(labels);
  return series.find(one => one.name === name && wanted.every(([label, value]) => one.labels[label] === value))?.value;
}
