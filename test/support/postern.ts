import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'vitest';
import { App } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load.ts';
import { problemLine } from '../../src/config/problems.ts';
import { Logger } from '../../src/telemetry/log.ts';
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
  /** More top-level YAML. */
  readonly more?: string;
  /** Log level; the file is kept in memory as text. */
  readonly level?: 'debug' | 'info';
  /** A folder of an earlier run, to start on its store. */
  readonly folder?: string;
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
  #stopped = false;

  private constructor(app: App, folder: string, logger: Logger, logFile: string, fd: number) {
    this.app = app;
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
    const app = await App.start({ loaded, source, version: '0.0.0-test', logger, processMetrics: false });
    return new Postern(app, folder, logger, logFile, fd);
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

  async #restless(): Promise<string[]> {
    const scrape = await this.metrics();
    return scrape
      .split('\n')
      .filter(line => /^postern_(streams_open|queue_length|upstream_connections\{.*state="(busy|stream)")/.test(line))
      .filter(line => !line.endsWith(' 0'));
  }

  /**
   * What holds after every test that ran traffic: bytes reached the upstream only after an allow with that request id,
   * method and target; the upstream's count is allows and logged retries; no planted secret is in any sink.
   */
  async assertInvariants(upstream: RecordingUpstream): Promise<void> {
    await this.quiet();
    const lines = await this.requestLines();
    const forwarded = new Map(lines.filter(line => line['upstream'] !== null).map(line => [line['request_id'], line]));
    for (const request of upstream.requests) {
      const line = forwarded.get(request.get('x-request-id'));
      expect(line, `upstream saw ${request.method} ${request.target} without an allow`).toBeDefined();
      expect(request.method).toBe(line!['method']);
      const path = request.target.split('?')[0]!;
      expect([line!['path'], line!['route']]).toContain(path);
    }
    const retries = lines.filter(line => line['retried'] === true).length;
    expect(upstream.requests.length, 'requests at the upstream').toBeLessThanOrEqual(forwarded.size + retries);
    await this.assertNoSecrets();
  }

  /** No planted secret, in any spelling, in the log, the metrics or the files of the store. */
  async assertNoSecrets(more: Record<string, string> = {}): Promise<void> {
    const sinks: Record<string, string> = { log: await this.log(), metrics: await this.metrics(), ...more };
    for (const [sink, text] of Object.entries(sinks)) {
      for (const secret of this.planted) {
        for (const [spelling, form] of Object.entries(spellings(secret))) {
          expect(text.includes(form), `${sink} has a secret, ${spelling}`).toBe(false);
        }
      }
    }
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

function configText({ upstream, routes = hostilePolicy, upstreamMembers, more = '' }: PosternOptions): string {
  return `listen: { proxy: "127.0.0.1:0", admin: "127.0.0.1:0", telemetry: "127.0.0.1:0" }
upstreams:
  u: { url: "${upstream}"${upstreamMembers === undefined ? '' : `, ${upstreamMembers}`} }
routes:
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
