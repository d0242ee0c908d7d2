import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { Program } from './program.ts';
import { RecordingUpstream } from './recording-upstream.ts';
import { RedisServer, type RedisServerOptions } from './redis.ts';
import { RespProxy } from './resp-proxy.ts';
import { Served } from './served.ts';

/** Milliseconds, as the fleet is configured. */
export const times = { bound: 1500, deadline: 300, mutation: 1000 } as const;

/** What was asked and answered, by when it was sent. */
export interface Asked {
  readonly what: string;
  readonly sent: number;
  readonly took: number;
  readonly status: number;
}

/**
 * Two processes on one Redis: `far` reaches it through a proxy that plays tricks, `near` by itself, so that it can
 * change things and look while the other is cut off.
 */
export class RedisFleet {
  readonly upstream: RecordingUpstream = new RecordingUpstream();
  readonly #key = randomBytes(32).toString('hex');
  readonly #pepper = randomBytes(32).toString('hex');
  #names = 0;
  redis!: RedisServer;
  proxy!: RespProxy;
  far!: Served;
  near!: Served;

  async start(options: RedisServerOptions): Promise<void> {
    this.redis = await RedisServer.start(options);
    const { port } = this.redis.endpoint;
    this.proxy = await RespProxy.start(port);
    [this.far, this.near] = await Promise.all([this.#serve(this.proxy.port), this.#serve(port)]);
  }

  async stop(): Promise<void> {
    await this.proxy.be({ kind: 'pass' });
    await Promise.all([this.far.stop(), this.near.stop()]);
    await this.proxy.close();
    await RedisServer.stopAll();
    await Program.killAll();
  }

  /** All tokens, as `near` sees them, by name. */
  async named(): Promise<Map<string, string[]>> {
    const { body } = await this.near.admin('GET', '/v1/tokens?limit=200');
    // A second page would hide what a test looks for.
    expect(body['next_cursor']).toBeNull();
    const found = new Map<string, string[]>();
    for (const { id, name } of body['tokens'] as { id: string; name: string }[]) {
      found.set(name, [...(found.get(name) ?? []), id]);
    }
    return found;
  }

  /** Resolves when each of the two knows that the other lives. */
  async united(): Promise<void> {
    const { id } = await this.near.mint({ name: this.fresh('union') });
    for (const end = performance.now() + 15_000; ; await pause(25)) {
      const { body } = await this.near.admin('DELETE', `/v1/tokens/${id}?wait=1s`);
      const acknowledged = body['acknowledged'] as readonly string[] | undefined;
      if (acknowledged?.length === 2) return;
      if (performance.now() > end) throw new Error(`the fleet is not united: ${JSON.stringify(body)}`);
    }
  }

  /** A name that no token has had. */
  fresh(name: string): string {
    return `${name}-${++this.#names}`;
  }

  /** Makes a token through `far`, in a way that can be asked for again. */
  async create(name: string): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
    const response = await fetch(`http://127.0.0.1:${this.far.ports.admin}/v1/tokens`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${this.far.adminKey}`,
        'Content-Type': 'application/json',
        'Idempotency-Key': name,
      },
      body: JSON.stringify({ name, permissions: ['api'] }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  /** Sends every one of these secrets through `far` again and again, for so long. */
  async ask(secrets: Readonly<Record<string, string>>, ms: number, everyMs = 25): Promise<Asked[]> {
    const asked: Promise<Asked>[] = [];
    const end = performance.now() + ms;
    while (performance.now() < end) {
      for (const [what, secret] of Object.entries(secrets)) asked.push(this.#ask(what, secret));
      await pause(everyMs);
    }
    return Promise.all(asked);
  }

  async #ask(what: string, secret: string): Promise<Asked> {
    const sent = performance.now();
    const status = await this.far.status('/api/x', secret);
    return { what, sent, took: performance.now() - sent, status };
  }

  async #serve(port: number): Promise<Served> {
    const served = await Served.start({
      config: `
upstreams: { u: { url: "${this.upstream.url}" } }
routes: [{ path: /api/**, require: api }]
admin: { keys: [{ name: ops, role: admin, key: "${this.#key}" }] }
store:
  kind: redis
  url: "redis://127.0.0.1:${port}/1"
  deadline: ${times.deadline}ms
  mutation_deadline: ${times.mutation}ms
tokens: { peppers: [{ id: p1, key: "${this.#pepper}" }] }
revocation: { bound: ${times.bound}ms }
guard: { failures: 0 }
`,
    });
    served.adminKey = this.#key;
    return served;
  }
}

/** One fleet for a file of tests; each test ends with one that works. */
export function redisFleet(options: RedisServerOptions = { persistent: true }): RedisFleet {
  const fleet = new RedisFleet();
  beforeAll(async () => {
    await fleet.upstream.listen();
  });
  beforeAll(async () => {
    await fleet.start(options);
    await fleet.united();
  });
  afterEach(async () => {
    fleet.proxy.cutAnswerOf(() => false);
    await fleet.proxy.be({ kind: 'pass' });
    if (fleet.far.program.ended !== null) return;
    await until(async () => (await fleet.create(fleet.fresh('works'))).status, 201);
    await until(async () => (await fetch(`${fleet.far.telemetry}/readyz`)).status, 200);
    await fleet.united();
  });
  afterAll(async () => {
    await fleet.stop();
    await fleet.upstream.close();
  });
  return fleet;
}

export const until = (what: () => Promise<unknown>, wanted: unknown, ms = 15_000): Promise<unknown> =>
  expect.poll(what, { interval: 25, timeout: ms }).toEqual(wanted);
