import { codeOf } from '../core/decision.ts';
import { commonMethods } from '../core/route.ts';
import type { Subject } from '../core/token.ts';
import { codes } from '../errors.ts';
import type { RequestRecord } from '../ports/recorder.ts';
import { reasonLabels } from './labels.ts';
import { type LogLevel, logLevels } from './log.ts';
import { quote } from './text.ts';

export interface RequestLogOptions {
  readonly level: LogLevel;
  /** `refused`: every request but the successes. */
  readonly access: 'all' | 'refused' | 'none';
  /** Share of the successes that is written, from 0 to 1. */
  readonly sample: number;
}

/** Longest values, in characters. A request's own text is bounded by the request head; this bounds the line. */
const longest = { path: 2048, method: 32, word: 256 } as const;

/** One line for each request. It is put together by hand from chosen fields: this runs for every request. */
export class RequestLog {
  readonly #write: (line: string) => void;
  readonly #time = new TimeText();
  #options: RequestLogOptions;

  constructor(write: (line: string) => void, options: RequestLogOptions) {
    this.#write = write;
    this.#options = options;
  }

  /** Holds from the next request on. */
  configure(options: RequestLogOptions): void {
    this.#options = options;
  }

  record(record: RequestRecord): void {
    const { access, sample, level } = this.#options;
    if (access === 'none') return;
    const lineLevel = levelOf(record);
    if (logLevels.indexOf(lineLevel) < logLevels.indexOf(level)) return;
    if (record.outcome === 'allowed' && lineLevel === 'info') {
      if (access === 'refused') return;
      if (sample < 1 && !isSampled(record.requestId, sample)) return;
    }
    this.#write(this.#line(record, lineLevel));
  }

  #line(record: RequestRecord, level: LogLevel): string {
    const { requestId, parentRequestId, route, path, subject } = record;
    const pattern = route === null ? 'null' : quotedPattern(route);
    const parent = parentRequestId === null ? '' : `,"parent_request_id":${quote(parentRequestId, longest.word)}`;
    return (
      `{"level":"${level}","time":"${this.#time.rfc3339(record.at)}"` +
      `,"request_id":${quote(requestId, longest.word)}${parent}` +
      `,"route":${pattern},"method":${quotedMethods.get(record.method) ?? quote(record.method, longest.method)}` +
      `,"path":${path === null ? pattern : quote(path, longest.path)}` +
      `,"status":${whole(record.status)},"code":${codeJson.get(record.reason) ?? 'null'}` +
      `,"reason":"${record.reason}","outcome":"${record.outcome}"` +
      `${record.shadow === null ? '' : `,"shadow":"${record.shadow}"`}` +
      `${subject === null ? noSubject : subjectMembers(subject)}` +
      `,"client_ip":${quote(record.client, longest.word)},"peer":${quote(record.peer, longest.word)}` +
      `,"duration_ms":${milliseconds(record.durationMs)},"overhead_ms":${milliseconds(record.overheadMs)}` +
      `,"upstream_ms":${record.upstreamMs === null ? 'null' : milliseconds(record.upstreamMs)}` +
      `,"bytes_in":${whole(record.bytesIn)},"bytes_out":${whole(record.bytesOut)}` +
      `,"upstream":${word(record.upstream)},"fault":${word(record.fault)}` +
      `${record.detail === null ? '' : `,"detail":${quote(record.detail, longest.word)}`}` +
      `${record.retried ? ',"retried":true' : ''},"msg":"request"}\n`
    );
  }
}

/** What stays the same from request to request is quoted once, for as long as the route or the cached token lives. */
const patterns = new WeakMap<Place, string>();
const subjects = new WeakMap<Subject, string>();
const quotedMethods = new Map<string, string>(commonMethods.map(method => [method, `"${method}"`]));
const noSubject = ',"token_id":null,"owner":null';

type Place = NonNullable<RequestRecord['route']>;

function quotedPattern(route: Place): string {
  let text = patterns.get(route);
  if (text === undefined) {
    text = quote(route.pattern, longest.word);
    patterns.set(route, text);
  }
  return text;
}

function subjectMembers(subject: Subject): string {
  let text = subjects.get(subject);
  if (text === undefined) {
    text = `,"token_id":${word(subject.token.id)},"owner":${word(subject.token.owner)}`;
    subjects.set(subject, text);
  }
  return text;
}

const codeJson = new Map<string, string>(reasonLabels.map(reason => [reason, JSON.stringify(codeOf(reason))]));

const levelOfReason = new Map<string, LogLevel>(
  reasonLabels.map(reason => {
    const code = codeOf(reason);
    if (code === 'internal_error') return [reason, 'error'];
    return [reason, code === null || codes[code].blame === 'client' ? 'info' : 'warn'];
  }),
);

/** What clients do is information; what the platform or an upstream does wrong is a warning; our own fault is an error. */
function levelOf(record: RequestRecord): LogLevel {
  const level = levelOfReason.get(record.reason) ?? 'info';
  return level === 'info' && record.outcome === 'failed' ? 'warn' : level;
}

const word = (value: string | null): string => (value === null ? 'null' : quote(value, longest.word));

const whole = (value: number): number => (value > 0 && value < Number.MAX_SAFE_INTEGER ? Math.trunc(value) : 0);

const threeDigits = Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, '0'));

/** Milliseconds with three decimals: whole numbers print much faster than fractions. */
function milliseconds(value: number): string {
  const micros = value > 0 && value < 1e12 ? Math.round(value * 1000) : 0;
  const millis = Math.floor(micros / 1000);
  return `${millis}.${threeDigits[micros - millis * 1000]}`;
}

/** RFC 3339 in UTC. Most requests fall into the second of the one before. */
class TimeText {
  #second = Number.NaN;
  #text = '';

  rfc3339(at: number): string {
    const millis = at >= 0 && at < lastInstant ? Math.trunc(at) : 0;
    const second = Math.floor(millis / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#text = new Date(second * 1000).toISOString().slice(0, 20);
    }
    return `${this.#text}${threeDigits[millis - second * 1000]}Z`;
  }
}

/** RFC 3339 ends with the year 9999. */
const lastInstant = Date.UTC(10000, 0);

/** Decided from the id, so that every line and every process that has it decides alike (FNV-1a, then a mixer). */
export function isSampled(requestId: string, sample: number): boolean {
  let hash = 0x811c9dc5;
  for (let i = 0; i < requestId.length; i++) hash = Math.imul(hash ^ requestId.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32 < sample;
}
