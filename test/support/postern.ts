import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'vitest';
import { App, type AppOptions } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load.ts';
import { problemLine } from '../../src/config/problems.ts';
import type { Route } from '../../src/core/route.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { Lookup } from '../../src/proxy/resolver.ts';
import { openStore, type Store } from '../../src/stores/open-store.ts';
import { Logger } from '../../src/telemetry/log.ts';
import { RawClient } from './raw-client.ts';
import type { RecordingUpstream } from './recording-upstream.ts';

/** The policy that hostile tests run against: everything else is denied. */
export const hostilePolicy = `
  - { path: /public/**, access: public }
  - { path: /api/**, require: api }
  - { path: /admin/**, require: admin }
`;

export interface PosternOptions {
  /** URL of the upstream \`u\`. */
  readonly upstream: string;
  /** YAML of `routes`. */
  readonly routes?: string;
  /** More members of the upstream, as YAML inside braces. */
  readonly upstreamMembers?: string;
  /** More upstreams: name to the YAML of its members, inside braces. */
  readonly upstreams?: Readonly<Record<string, string>>;
  /** More top-level YAML. */
  readonly more?: string;
  /** Log level; the file is kept in memory as text. */
  readonly level?: 'debug' | 'info';
  /** A folder of an earlier run, to start on its store. */
  readonly folder?: string;
  /** More members of `listen.proxy`, as YAML inside braces. */
  readonly proxyMembers?: string;
  /** The time, for all but timers. */
  readonly clock?: Clock;
  /** What stands between the program and its store. */
  readonly throughStore?: (store: Store) => Store;
  /** Routes as they are in force, after the file was read. */
  readonly changeRoute?: (route: Route) => Route;
  /** Rooms of token APIs. */
  readonly mountOf?: NonNullable<AppOptions['mountOf']>;
  /** What names of upstreams resolve to. */
  readonly lookup?: Lookup;
}

export interface InvariantOptions {
  /** Tokens are forwarded, as the configuration says. */
  readonly forwardsSecrets?: boolean;
  /** What some route strips from the beginning of its paths. */
  readonly strips?: string;
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Record<string, unknown>;
}

/** The whole program in this process, on free ports, with a store of its own. */
export class Postern {
  readonly app: App;
  readonly folder: string;
  readonly #logger: Logger;
  readonly #logFile: string;
  readonly #fd: number;
  /** Secrets that were made here: none of them may be found anywhere. */
  readonly planted: string[] = [];
  /** Their spellings, and how much of the log, which only grows, was searched for them. */
  readonly #searches = new Map<string, { readonly forms: [string, string][]; logged: number }>();
  /** On the store, and the log, of an earlier run. */
  readonly #resumed: boolean;
  #stopped = false;

  private constructor(app: App, folder: string, logger: Logger, logFile: string, fd: number, resumed: boolean) {
    this.app = app;
    this.#resumed = resumed;
    this.folder = folder;
    this.#logger = logger;
    this.#logFile = logFile;
    this.#fd = fd;
    if (app.generatedKey !== null) this.planted.push(app.generatedKey);
  }

  static async start(options: PosternOptions): Promise<Postern> {
    const folder = options.folder ?? (await mkdtemp(path.join(tmpdir(), 'postern-test-')));
    const file = path.join(folder, 'postern.yaml');
    await writeFile(file, configText(options));
    const source = { file };
    const loaded = await loadConfig(source);
    if (!loaded.ok) throw new Error(loaded.problems.map(problemLine).join('\n'));
    const logFile = path.join(folder, 'log.jsonl');
    const fd = openSync(logFile, 'a');
    const logger = new Logger({ level: options.level ?? 'info', fd });
    const { clock, throughStore, lookup, mountOf, changeRoute = route => route } = options;
    const app = await App.start({
      loaded: { ...loaded, config: { ...loaded.config, routes: loaded.config.routes.map(changeRoute) } },
      source,
      version: '0.0.0-test',
      logger,
      processMetrics: false,
      ...(clock && { clock }),
      ...(lookup && { lookup }),
      ...(mountOf && { mountOf }),
      ...(throughStore && { openStore: async (...args) => throughStore(await openStore(...args)) }),
    });
    return new Postern(app, folder, logger, logFile, fd, options.folder !== undefined);
  }

  get port(): number {
    return this.app.ports.proxy;
  }

  get proxy(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Calls the admin API with the key of the store, or with another. */
  async admin(method: string, target: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answered> {
    const response = await fetch(`http://127.0.0.1:${this.app.ports.admin}${target}`, {
      method,
      headers: {
        Authorization: `Bearer ${this.app.generatedKey}`,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: json(text) };
  }

  /** Makes a token; its secret is planted. */
  async mint(spec: Record<string, unknown> = {}): Promise<{ id: string; secret: string }> {
    const answer = await this.admin('POST', '/v1/tokens', spec);
    if (answer.status !== 201) throw new Error(`no token: ${answer.text}`);
    const secret = answer.body['secret'] as string;
    this.planted.push(secret);
    return { id: (answer.body['token'] as { id: string }).id, secret };
  }

  async metrics(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.app.ports.telemetry}/metrics`)).text();
  }

  /** The value of one sample, by its name and labels as they stand in a scrape; 0 when it is not there. */
  async metric(sample: string): Promise<number> {
    const line = (await this.metrics()).split('\n').find(text => text.startsWith(`${sample} `));
    return line === undefined ? 0 : Number(line.slice(sample.length + 1));
  }

  async log(): Promise<string> {
    this.#logger.sink.flushSync();
    return readFile(this.#logFile, 'utf8');
  }

  /** Lines of requests, parsed. */
  async requestLines(): Promise<Record<string, unknown>[]> {
    const lines = (await this.log()).split('\n').filter(line => line !== '');
    return lines.map(line => JSON.parse(line) as Record<string, unknown>).filter(line => 'request_id' in line);
  }

  /** Waits until nothing is under way. */
  async quiet(): Promise<void> {
    await expect
      .poll(() => this.#restless(), { timeout: 10_000, interval: 20, message: 'something is still under way' })
      .toEqual([]);
  }

  /** Waits until the last connection of a client is gone. */
  async deserted(): Promise<void> {
    await RawClient.closeAll();
    const late = Date.now() + 10_000;
    for (;;) {
      const connections = await this.metric('postern_connections{listener="proxy"}');
      if (connections === 0) return;
      if (Date.now() > late) throw new Error(`${connections} connections are left`);
      await new Promise(resolve => setTimeout(resolve, 20));
    }
  }

  async #restless(): Promise<string[]> {
    const scrape = await this.metrics();
    const atRest = ['streams_open', 'queue_length', 'upstream_connections\\{.*state="(?:busy|stream)"'];
    const gauges = new RegExp(`^postern_(?:${atRest.join('|')})`);
    return scrape.split('\n').filter(line => gauges.test(line) && !line.endsWith(' 0'));
  }

  /**
   * What holds after every test that ran traffic: gauges are back at rest; bytes reached the upstream only as whole
   * requests that were allowed, with that request id, method and target; it saw as many as were allowed, and logged
   * retries; every request left one record, and the usage of tokens is the sum of theirs; nothing failed inside; no
   * planted secret is in any sink or was forwarded.
   */
  async assertInvariants(upstream: RecordingUpstream, options: InvariantOptions = {}): Promise<void> {
    await this.quiet();
    const lines = await this.#linesFor(upstream);
    this.#assertForwarded(upstream, lines, options.strips);

    expect(
      lines.filter(line => line['code'] === 'internal_error'),
      'faults of ours',
    ).toEqual([]);
    if (!this.#resumed) {
      expect(await this.#recorded(), 'requests in the metrics').toBe(lines.length);
      await this.#assertUsage(lines);
    }

    if (options.forwardsSecrets !== true) {
      const carries = ({ head }: { head: string }): boolean => this.planted.some(secret => head.includes(secret));
      expect(
        upstream.requests.filter(carries).map(({ head }) => head),
        'a secret was forwarded',
      ).toEqual([]);
    }
    await this.assertNoSecrets();
  }

  /** Every request has its line when it is over, which may be a moment after the upstream is free again. */
  async #linesFor(upstream: RecordingUpstream): Promise<Record<string, unknown>[]> {
    const late = Date.now() + 3000;
    for (;;) {
      const lines = await this.requestLines();
      const ids = new Set(lines.map(line => line['request_id']));
      if (upstream.requests.every(request => ids.has(request.get('x-request-id'))) || Date.now() > late) return lines;
      await new Promise(resolve => setTimeout(resolve, 10));
    }
  }

  #assertForwarded(upstream: RecordingUpstream, lines: Record<string, unknown>[], strips = ''): void {
    const retries = lines.filter(line => line['retried'] === true).length;
    const forwarded = new Map(lines.filter(line => line['upstream'] !== null).map(line => [line['request_id'], line]));
    const wrong: string[] = [];
    for (const request of upstream.requests) {
      const id = request.get('x-request-id');
      const line = forwarded.get(id);
      if (line === undefined) {
        wrong.push(`upstream saw ${request.method} ${request.target} without an allow`);
        continue;
      }
      const path = request.target.split('?')[0]!;
      // Logged whole, cut when it is long, as its route's pattern when it carries a token.
      const judged = [path, `${strips}${path}`, `${strips}${path}`.replace(/\/$/, ''), `${path.slice(0, 2048)}…`];
      const same = judged.includes(line['path'] as string) || (carriesToken(path) && line['path'] === line['route']);
      if (request.method !== line['method'] || !same) {
        wrong.push(`upstream saw ${request.method} ${request.target}; judged was ${line['method']} ${line['path']}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(upstream.requests.length, 'requests at the upstream').toBeLessThanOrEqual(forwarded.size + retries);
    expect(upstream.faults, 'what the upstream could read in two ways').toEqual([]);
    expect(upstream.stray, 'bytes at the upstream that belong to no request').toBe('');
    expect(upstream.unfinished, 'requests whose rest the upstream waits for').toEqual([]);
  }

  /** Requests that the metrics counted. */
  async #recorded(): Promise<number> {
    const samples = (await this.metrics()).split('\n').filter(line => line.startsWith('postern_requests_total{'));
    return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }

  /** Usage by token: allowed, and refused by code. */
  async #assertUsage(lines: Record<string, unknown>[]): Promise<void> {
    const byToken = Map.groupBy(
      lines.filter(line => line['token_id'] !== null),
      line => line['token_id'] as string,
    );
    for (const [id, ofToken] of byToken) {
      const answer = await this.admin('GET', `/v1/tokens/${id}/usage`);
      if (answer.status !== 200) throw new Error(`no usage of ${id}: ${answer.text}`);
      const total = answer.body['total'] as { allowed: number; refused: Record<string, number> };
      const codes = Map.groupBy(ofToken, line => line['code'] as string | null);
      const charged = forwardedCodes.reduce((n, code) => n + (codes.get(code)?.length ?? 0), 0);
      expect(total.allowed, `allowed requests of ${id}`).toBe(charged);
      const refused = [...codes].filter(([code]) => !forwardedCodes.includes(code));
      expect(total.refused, `refused requests of ${id}`).toEqual(
        Object.fromEntries(refused.map(([code, some]) => [code, some.length])),
      );
    }
  }

  /** No planted secret, in any spelling, in the log, the metrics or the files of the store. */
  async assertNoSecrets(more: Record<string, string> = {}): Promise<void> {
    const log = await this.log();
    const sinks = { metrics: await this.metrics(), ...more };
    const found: string[] = [];
    for (const secret of this.planted) {
      const search = this.#searches.get(secret) ?? { forms: Object.entries(spellings(secret)), logged: 0 };
      this.#searches.set(secret, search);
      for (const [spelling, form] of search.forms) {
        // What is new in the log, and as much before it as could be the beginning of a secret.
        if (log.includes(form, Math.max(0, search.logged - form.length))) found.push(`log has a secret, ${spelling}`);
        for (const [sink, text] of Object.entries(sinks)) {
          if (text.includes(form)) found.push(`${sink} has a secret, ${spelling}`);
        }
      }
      search.logged = log.length;
    }
    expect(found).toEqual([]);
  }

  async stop(options: { keep?: boolean } = {}): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    await this.app.drain({ skipDelay: true });
    this.#logger.sink.flushSync();
    closeSync(this.#fd);
    if (options.keep !== true) await rm(this.folder, { recursive: true, force: true });
  }
}

export function spellings(secret: string): Record<string, string> {
  const bytes = Buffer.from(secret);
  const tail = secret.slice(4);
  return {
    raw: secret,
    'without prefix': tail,
    'first half': tail.slice(0, tail.length >> 1),
    'second half': tail.slice(tail.length >> 1),
    hex: bytes.toString('hex'),
    base64: bytes.toString('base64').replace(/=+$/, '').slice(0, -2),
    base64url: bytes.toString('base64url').slice(0, -2),
    'percent-encoded': [...bytes].map(byte => `%${byte.toString(16)}`).join(''),
  };
}

/** Of requests that were decided to be forwarded, whatever became of them then. */
const forwardedCodes: (string | null)[] = [null, 'upstream_failed', 'upstream_timeout'];

function carriesToken(path: string): boolean {
  const decoded = (text: string): string =>
    text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return decoded(decoded(decoded(path))).includes('pst_');
}

function configText(options: PosternOptions) {
  const { upstream, routes = hostilePolicy, upstreamMembers, upstreams = {}, more = '', proxyMembers } = options;
  const proxy = `{ address: "127.0.0.1:0"${proxyMembers === undefined ? '' : `, ${proxyMembers}`} }`;
  const others = Object.entries(upstreams).map(([name, members]) => `  ${name}: { ${members} }\n`);
  return `listen: { proxy: ${proxy}, admin: "127.0.0.1:0", telemetry: "127.0.0.1:0" }
upstreams:
  u: { url: "${upstream}"${upstreamMembers === undefined ? '' : `, ${upstreamMembers}`} }
${others.join('')}routes:
${routes}
${more.includes('store:') ? '' : 'store: { kind: embedded, path: ./data, deadline: 5s }'}
${more.includes('shutdown:') ? '' : 'shutdown: { delay: 0s, grace: 2s }'}
${more}
`;
}

function json(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}
