import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { Keys } from '../../src/stores/redis/keys.ts';
import { Link } from '../../src/stores/redis/link.ts';
import { openRedisStore, type RedisStoreOptions } from '../../src/stores/redis/open.ts';
import { lua, script } from '../../src/stores/redis/script.ts';
import type { RedisEndpoint, RedisPlace } from '../../src/stores/redis/settings.ts';
import { monotonic } from '../../src/stores/redis/store-clock.ts';
import { beginRedis } from '../../src/stores/redis/target.ts';
import type { BeginStore, OpenStore, TestedStore } from '../contract/harness.ts';
import type { Certificate } from './certificate.ts';
import { ManualClock } from './manual-clock.ts';
import { freePort } from './ports.ts';

export interface RedisServerOptions {
  /** Writes what it was told to its folder, so that a restart finds it. */
  readonly persistent?: boolean;
  /** More lines of its configuration, such as `['maxmemory', '10mb']`. */
  readonly settings?: readonly (readonly string[])[];
  /** It speaks TLS alone, with this certificate, which signs itself. */
  readonly tls?: Certificate;
  /** It is a sentinel, with these lines in its file, which it rewrites itself. */
  readonly sentinel?: readonly string[];
}

/** How often another port is tried when somebody was faster. */
const tries = 5;

/** A real server on a free port, with a folder of its own. */
export class RedisServer {
  static readonly #running = new Set<RedisServer>();
  readonly #folder = mkdtempSync(join(tmpdir(), 'postern-redis-'));
  readonly #options: RedisServerOptions;
  readonly #clients = new Set<Redis>();
  #process: ChildProcess | null = null;
  #port = 0;

  private constructor(options: RedisServerOptions) {
    this.#options = options;
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(options);
    for (let i = 0; ; i++) {
      server.#port = await freePort();
      try {
        await server.#run();
        return server;
      } catch (error) {
        if (i < tries) continue;
        rmSync(server.#folder, { recursive: true, force: true });
        throw error;
      }
    }
  }

  /** Ends whatever a test has left running. */
  static async stopAll(): Promise<void> {
    await Promise.all([...RedisServer.#running].map(server => server.stop()));
  }

  get endpoint(): RedisEndpoint {
    const { tls } = this.#options;
    return { host: '127.0.0.1', port: this.#port, ...(tls && { tls: { ca: tls.cert } }) };
  }

  /** A plain client, to look behind the store and to play tricks on it. */
  client(password?: string): Redis {
    const login = password === undefined ? {} : { password };
    const redis = new Redis({ ...this.endpoint, ...login, protocol: 2, disableClientInfo: true });
    redis.on('error', () => {});
    this.#clients.add(redis);
    return redis;
  }

  /** Sends a signal and waits until the process is gone. What it kept is still there. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#process;
    if (child === null) return;
    const closed = once(child, 'close');
    child.kill(signal);
    await closed;
    this.#process = null;
  }

  /** Stops it where it stands, until `resume`. Resolves when it stands still: a signal takes a moment. */
  async suspend(): Promise<void> {
    const { pid } = this.#process!;
    process.kill(pid!, 'SIGSTOP');
    while (!/^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) await pause(1);
  }

  resume(): void {
    process.kill(this.#process!.pid!, 'SIGCONT');
  }

  /** Starts it again where it was, with more settings for this time. Resolves when it has loaded what it kept. */
  async restart(settings: readonly (readonly string[])[] = []): Promise<void> {
    await this.kill();
    await this.#run(settings);
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await this.kill();
    RedisServer.#running.delete(this);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #portLines(): string[][] {
    const { tls } = this.#options;
    const port = String(this.#port);
    if (tls === undefined) return [['port', port]];
    const [cert, key] = [join(this.#folder, 'cert.pem'), join(this.#folder, 'key.pem')];
    writeFileSync(cert, tls.cert);
    writeFileSync(key, tls.key);
    const files = { 'tls-cert-file': cert, 'tls-key-file': key, 'tls-ca-cert-file': cert };
    return [['port', '0'], ['tls-port', port], ['tls-auth-clients', 'no'], ...Object.entries(files)];
  }

  #sentinelFile(lines: readonly string[]): string[] {
    const file = join(this.#folder, 'sentinel.conf');
    const all = [...this.#portLines().map(line => line.join(' ')), 'bind 127.0.0.1', `dir ${this.#folder}`, ...lines];
    if (!existsSync(file)) writeFileSync(file, all.map(line => `${line}\n`).join(''));
    return [file, '--sentinel'];
  }

  async #run(more: readonly (readonly string[])[] = []): Promise<void> {
    const { persistent = false, settings = [], sentinel } = this.#options;
    const lines = [
      ...this.#portLines(),
      ['bind', '127.0.0.1'],
      ['dir', this.#folder],
      ['save', ''],
      ['appendonly', persistent ? 'yes' : 'no'],
      ['appendfsync', 'always'],
      ...settings,
      ...more,
    ];
    const args =
      sentinel === undefined
        ? lines.flatMap(([name, ...values]) => [`--${name}`, ...values])
        : this.#sentinelFile(sentinel);
    const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    RedisServer.#running.add(this);
    let said = '';
    await new Promise<void>((resolve, reject) => {
      const hear = (text: string): void => {
        said += text;
        if (/Ready to accept connections|Sentinel ID is/.test(said)) resolve();
      };
      child.stdout!.setEncoding('utf8').on('data', hear);
      child.stderr!.setEncoding('utf8').on('data', hear);
      child.on('error', reject);
      child.on('close', code => {
        if (this.#process === child) this.#process = null;
        reject(new Error(`redis-server ended with ${code}:\n${said}`));
      });
    });
  }
}

// A test process that is killed takes its servers along as far as it can.
process.on('exit', () => void RedisServer.stopAll());

/** A store under keys of its own on a server, as the contract suites take it. */
export const openOn =
  (server: () => Promise<{ readonly endpoint: RedisPlace }>): OpenStore =>
  async options => {
    const { endpoint } = await server();
    return tested({
      ...options,
      endpoint,
      prefix: `postern:${randomBytes(6).toString('hex')}:`,
      clock: new ManualClock(),
    });
  };

/** Keys of their own on a server that a store is being filled under. */
export const beginOn =
  (server: () => Promise<{ readonly endpoint: RedisPlace }>): BeginStore =>
  async () => {
    const { endpoint } = await server();
    const clock = new ManualClock();
    const options = { endpoint, prefix: `t${randomBytes(6).toString('hex')}:`, clock, mutationDeadlineMs: 20_000 };
    return {
      target: await beginRedis(options),
      again: () => beginRedis(options),
      open: () => tested({ ...options, create: false }),
      dispose: async () => {},
    };
  };

/** Has the ledgers of a subject have seen a time. KEYS[1] is their head, ARGV[1] the time. Any version is newer than -1. */
export const leadLimits = script(
  'frees',
  lua`
local version, rest = string.match(redis.call('GET', KEYS[1]) or '-1 0\n', '^(%S+) %S+\n(.*)$')
return redis.call('SET', KEYS[1], version .. ' ' .. ARGV[1] .. '\n' .. rest)
`,
);

/** Calls scripts of a test's own, wherever their keys are. */
export async function onLink(place: RedisPlace, home: string, act: (link: Link) => Promise<unknown>): Promise<void> {
  const link = new Link({ place, home, confirm: 'none', silenceMs: 20_000 }, { lost: () => {}, restored: () => {} });
  try {
    await link.open(monotonic() + 20_000);
    await act(link);
  } finally {
    await link.close();
  }
}

async function tested(options: RedisStoreOptions & { readonly clock: ManualClock }): Promise<TestedStore> {
  // A busy test machine is no outage.
  const store = await openRedisStore({ deadlineMs: 10_000, mutationDeadlineMs: 20_000, ...options });
  return {
    ...store,
    clock: options.clock,
    limitTime: ({ kind, id }, at) =>
      onLink(options.endpoint, `${options.prefix}{s}:meta`, link => {
        const key = new Keys(options.prefix ?? '').limits({ kind, id });
        return link.call({ script: leadLimits, keys: [key], args: [at] }, monotonic() + 20_000);
      }),
    reopen: async () => {
      await store.close();
      return tested(options);
    },
    // What it left goes with the server.
    dispose: () => store.close(),
  };
}
