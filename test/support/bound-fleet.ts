import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Hammer } from './hammer.ts';
import { Program } from './program.ts';
import { RedisServer } from './redis.ts';
import { RespProxy } from './resp-proxy.ts';
import { type ApiAnswer, Served } from './served.ts';

/** The bound of revocation, in milliseconds. */
export const boundMs = 500;

/** A process of the fleet, and those that came before it in the same folder. */
export class Place {
  readonly cutOffMs: number;
  readonly snapshots: boolean;
  readonly proxy: RespProxy;
  readonly #config: string;
  #served!: Served;
  /** What the registry calls this process and those before it, as far as that was asked. */
  readonly names: Set<string> = new Set();

  constructor(proxy: RespProxy, config: string, { serveMs, snapshots }: Habit) {
    this.cutOffMs = Math.max(boundMs, serveMs);
    this.snapshots = snapshots;
    this.proxy = proxy;
    const snapshot = snapshots ? ', snapshot: { path: ./snapshot, interval: 1s }' : '';
    this.#config = `${config}
store: { kind: redis, url: "redis://127.0.0.1:${proxy.port}", deadline: 100ms, mutation_deadline: 1s }
revocation: { bound: ${boundMs}ms }
outage: { serve_cached_for: ${serveMs}ms${snapshot} }
`;
  }

  get served(): Served {
    return this.#served;
  }

  async start(adminKey: string): Promise<void> {
    const folder = this.#served?.folder;
    this.#served = await Served.start({ config: this.#config, ...(folder === undefined ? {} : { folder }) });
    this.#served.adminKey = adminKey;
  }

  revoke(id: string, wait: string | null): Promise<ApiAnswer> {
    return this.#served.admin('DELETE', `/v1/tokens/${id}${wait === null ? '' : `?wait=${wait}`}`);
  }
}

interface Habit {
  readonly serveMs: number;
  readonly snapshots: boolean;
}

/** Of the first nothing can be taken away; the others serve for longer and longer, when the store is away. */
const habits: readonly Habit[] = [
  { serveMs: 0, snapshots: false },
  { serveMs: 0, snapshots: false },
  { serveMs: 1200, snapshots: false },
  { serveMs: 3000, snapshots: true },
];

/** Processes of several habits on one Redis, each behind a network of its own, and somebody who asks all of them. */
export class BoundFleet {
  readonly hammer: Hammer = new Hammer(35);
  readonly key: string = randomBytes(32).toString('hex');
  readonly redis: RedisServer;
  readonly places: Place[] = [];

  private constructor(redis: RedisServer) {
    this.redis = redis;
  }

  static async start(): Promise<BoundFleet> {
    const fleet = new BoundFleet(await RedisServer.start());
    await fleet.hammer.listen();
    const config = `
upstreams: { u: { url: "${fleet.hammer.url}" } }
routes: [{ path: /api/**, require: api }]
admin: { keys: [{ name: ops, role: admin, key: "${fleet.key}" }] }
tokens: { peppers: [{ id: p1, key: "${randomBytes(32).toString('hex')}" }] }
guard: { failures: 0 }
log: { access: none }
`;
    for (const habit of habits) {
      const proxy = await RespProxy.start(fleet.redis.endpoint.port);
      fleet.places.push(new Place(proxy, config, habit));
    }
    await Promise.all(fleet.places.map(place => place.start(fleet.key)));
    await fleet.united();
    return fleet;
  }

  get ports(): number[] {
    return this.places.map(({ served }) => served.ports.proxy);
  }

  /** Resolves when every process knows that all others live, and that nobody else does. */
  async united(): Promise<void> {
    await Promise.all(this.places.map(place => this.#unite(place)));
  }

  async #unite(place: Place): Promise<void> {
    for (const end = performance.now() + 30_000; ; await pause(25)) {
      const made = await place.served.admin('POST', '/v1/tokens', {});
      let said = made.text;
      if (made.status === 201) {
        const revoked = await place.revoke((made.body['token'] as { id: string }).id, '1s');
        said = revoked.text;
        const names = (revoked.body['acknowledged'] ?? []) as readonly string[];
        // Whoever answers is the first.
        if (revoked.status === 200 && names.length === this.places.length) {
          place.names.add(names[0]!);
          return;
        }
      }
      if (performance.now() > end) throw new Error(`the fleet is not united: ${said}`);
    }
  }

  async stop(): Promise<void> {
    await Program.killAll();
    await Promise.all(this.places.map(({ served }) => served.remove()));
    await Promise.all(this.places.map(({ proxy }) => proxy.close()));
    await this.redis.stop();
    this.hammer.close();
  }
}
