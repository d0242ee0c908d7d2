import { randomBytes, randomUUID } from 'node:crypto';
import { AdminListener, type AdminPolicy } from './admin/admin-listener.ts';
import { HealthListener } from './admin/health.ts';
import { joinMetrics } from './app-metrics.ts';
import { startupFields } from './app-startup.ts';
import {
  adminKeysOf,
  cacheOptionsOf,
  fieldRulesOf,
  listenerOf,
  policyOf,
  type Secrets,
  secretsOf,
} from './app-values.ts';
import { backupText, headingOf } from './backup/format.ts';
import { CachedLookup } from './cache/cached-lookup.ts';
import { FeedFollower, type FeedListener } from './cache/freshness.ts';
import type { Config } from './config/config.ts';
import { missingOwners } from './config/declared.ts';
import { type LoadResult, loadConfig, type Source } from './config/load.ts';
import { problemLine } from './config/problems.ts';
import { compareForReload } from './config/reload.ts';
import { type ConfigWatch, watchConfig } from './config/watch.ts';
import { StoreUnavailable } from './errors.ts';
import { Gate } from './gate/gate.ts';
import { Guard } from './gate/guard.ts';
import { ProxyListener } from './gate/listener.ts';
import type { Policy } from './gate/policy.ts';
import { AccountService } from './manage/account-service.ts';
import type { ManageParts } from './manage/parts.ts';
import { TokenService } from './manage/token-service.ts';
import type { Clock } from './ports/clock.ts';
import type { SecretMaker } from './ports/secret-maker.ts';
import type { TokenStore } from './ports/token-store.ts';
import type { FieldRules } from './proxy/fields.ts';
import { UpstreamForwarder } from './proxy/forwarder.ts';
import { randomBase62 } from './secrets/mint.ts';
import { checksumKeyOf } from './secrets/peppers.ts';
import { openStore, type Store } from './stores/open-store.ts';
import type { Logger } from './telemetry/log.ts';
import { Metrics } from './telemetry/metrics.ts';
import { quietLog } from './telemetry/quiet-log.ts';
import { createRecorder } from './telemetry/recorder.ts';
import { RequestLog } from './telemetry/request-log.ts';
import { RequestMetrics } from './telemetry/request-metrics.ts';
import { meterFeed, meterLedger, meterStore, StoreMeter } from './telemetry/store-meter.ts';
import { UsageCounters } from './usage/counters.ts';

const systemClock: Clock = { wall: () => Date.now(), monotonic: () => performance.now() };

export type Loaded = Extract<LoadResult, { ok: true }>;

export interface AppOptions {
  readonly loaded: Loaded;
  /** Read again when asked to, or when what it names changes. */
  readonly source: Source;
  readonly version: string;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Another way to the store than the one that the configuration names. */
  readonly openStore?: typeof openStore;
  /** The one that keeps Node's own metrics; false in a process that has several. */
  readonly processMetrics?: boolean;
}

/** The configuration cannot be served: what only the store could tell. */
export class ConfigurationRefused extends Error {
  readonly lines: readonly string[];
  constructor(lines: readonly string[]) {
    super(lines.join('\n'));
    this.name = 'ConfigurationRefused';
    this.lines = lines;
  }
}

/**
 * The composition root: the only place that makes adapters and joins them to ports. It also keeps the order of their
 * lives: the store first and last, the proxy listener last and first.
 */
export class App {
  readonly #options: AppOptions;
  readonly #clock: Clock;
  readonly #store: Store;
  readonly #tokens: TokenStore;
  readonly #lookup: CachedLookup;
  readonly #follower: FeedFollower;
  readonly #usage: UsageCounters;
  readonly #forwarder: UpstreamForwarder;
  readonly #gate: Gate;
  readonly #proxy: ProxyListener;
  readonly #admin: AdminListener;
  readonly #health: HealthListener;
  readonly #requestLog: RequestLog;
  readonly #reloads: { readonly result: (success: boolean, hash: string | null) => void };
  #generatedKey: string | null;
  /** In `Via`, to know a request that comes round. */
  readonly #instance = `postern-${randomBytes(4).toString('hex')}`;
  #config: Config;
  #checksumKeys: readonly string[];
  #secrets: Secrets;
  #guard: Guard;
  #watch: ConfigWatch | null = null;
  #draining = false;
  #reloading: Promise<boolean> = Promise.resolve(true);
  #ports = { proxy: 0, admin: 0, telemetry: 0 };
  /** Resolves when everything is closed. */
  readonly closed: Promise<void>;
  #settleClosed: () => void = () => {};

  /** Opens the store, checks what only it can tell, and listens. Rejects when any of that fails; nothing stays open. */
  static async start(options: AppOptions): Promise<App> {
    const { config } = options.loaded;
    const open = options.openStore ?? openStore;
    const store = await open(config.store, options.clock ?? systemClock, {
      down: cause => options.logger.error({}, 'the store is down', cause),
      up: () => options.logger.info({}, 'the store is up again'),
    });
    try {
      await refuseDeclared(config, store.tokens);
      const generatedKey = await ownKey(config, store);
      const app = new App(options, store, await checksumKeysOf(config, store), generatedKey);
      await app.#listen();
      return app;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  private constructor(options: AppOptions, store: Store, checksumKeys: readonly string[], generatedKey: string | null) {
    const { logger, loaded, version } = options;
    const { config } = loaded;
    const clock = options.clock ?? systemClock;
    const quiet = quietLog(logger, clock, 10_000);
    const processId = randomUUID();
    this.#options = options;
    this.#clock = clock;
    this.#config = config;
    this.#store = store;
    this.#generatedKey = generatedKey;
    this.#guard = new Guard(config.guard, clock);
    this.#checksumKeys = checksumKeys;
    this.#secrets = secretsOf(config, checksumKeys);
    this.closed = new Promise(resolve => {
      this.#settleClosed = resolve;
    });

    const metrics = new Metrics({ log: logger, processMetrics: options.processMetrics ?? true });
    const meter = new StoreMeter(metrics, clock);
    this.#tokens = meterStore(store.tokens, meter);
    const ledger = meterLedger(store.usage, meter);

    this.#lookup = new CachedLookup(this.#tokens, clock, cacheOptionsOf(config));
    const propagation = metrics.histogram('revocation_propagation_seconds').at({});
    const listener: FeedListener = {
      apply: events => {
        this.#lookup.apply(events);
        for (const { at } of events) propagation.observe(Math.max(0, clock.wall() - at) / 1000);
      },
      missed: () => this.#lookup.missed(),
    };
    this.#follower = new FeedFollower(meterFeed(store.feed, meter), listener, clock, config.revocation.boundMs);
    this.#lookup.follow(this.#follower);
    this.#lookup.declare(this.#secrets.declaredBySecret);
    this.#usage = new UsageCounters(ledger, processId, quiet);

    this.#requestLog = new RequestLog(line => logger.sink.write(line), config.log);
    const recorder = createRecorder(
      {
        metrics: new RequestMetrics(metrics),
        requests: this.#requestLog,
        usage: record => this.#usage.count(record),
      },
      quiet,
    );

    this.#forwarder = new UpstreamForwarder(config.upstreams, fieldRulesOf(config, this.#instance), clock);
    this.#lookup.onChange(events => this.#forwarder.changed(events));
    this.#gate = new Gate(
      { lookup: this.#lookup, forwarder: this.#forwarder, recorder, clock, log: quiet, instance: this.#instance },
      policyOf(config, this.#guard, this.#secrets.reader),
    );
    this.#proxy = new ProxyListener(
      { ...listenerOf(config.listen.proxy), ...config.listen.proxy },
      {
        onExchange: exchange => void this.#gate.handle(exchange),
        onUnparsed: (...fault) => this.#gate.unparsed(...fault),
      },
      clock,
    );

    const parts: ManageParts = {
      clock,
      store: this.#tokens,
      ledger,
      flushUsage: () => this.#usage.flush(),
      apply: events => this.#lookup.apply(events),
      secrets: this.#maker(),
      randomText: randomBase62,
      process: processId,
      declared: () => this.#secrets.declaredById,
    };
    this.#admin = new AdminListener(
      listenerOf(config.listen.admin),
      {
        tokens: new TokenService(parts),
        accounts: new AccountService(parts),
        backup: () => backupText(headingOf(store.identity, clock.wall()), store.transfer.dump()),
        clock,
        log: quiet,
        version,
      },
      { keys: adminKeysOf(config, generatedKey), hosts: config.admin.hosts, guard: this.#guard },
    );
    this.#health = new HealthListener(listenerOf(config.listen.telemetry), {
      metrics: () => metrics.metrics(),
      metricsType: metrics.contentType,
      missing: () => this.missing(),
      drain: () => void this.drain(),
      log: quiet,
    });
    this.#reloads = joinMetrics(metrics, {
      clock,
      version,
      config: () => this.#config,
      proxy: this.#proxy,
      admin: this.#admin,
      health: this.#health,
      forwarder: this.#forwarder,
      lookup: this.#lookup,
      follower: this.#follower,
      draining: () => this.#draining,
    });
    this.#reloads.result(true, loaded.hash);
  }

  async #listen(): Promise<void> {
    const { logger, loaded } = this.#options;
    this.#usage.start();
    this.#follower.start();
    try {
      // Probes and scrapes are answered before requests are.
      this.#ports = { ...this.#ports, telemetry: await this.#health.listen() };
      this.#ports = { ...this.#ports, admin: await this.#admin.listen() };
      this.#ports = { ...this.#ports, proxy: await this.#proxy.listen() };
    } catch (error) {
      await Promise.all([this.#health.close(), this.#admin.close(), this.#proxy.close()]);
      await this.#usage.stop();
      await this.#follower.stop();
      throw error;
    }
    for (const problem of loaded.warnings) logger.warn({ problem: problemLine(problem) }, 'configuration warning');
    this.#watch = watchConfig(loaded, () => void this.reload());
    logger.info({ ...startupFields(loaded, this.#ports), version: this.#options.version }, 'listening');
    // Somebody waits for this line.
    logger.sink.flush();
  }

  /** The ports that are listened on; the configured ones, unless those were 0. */
  get ports(): { readonly proxy: number; readonly admin: number; readonly telemetry: number } {
    return this.#ports;
  }

  /** The admin key that the store keeps where none is configured; else null. */
  get generatedKey(): string | null {
    return this.#generatedKey;
  }

  /** What is missing before requests can be served. Never the upstream: a sidecar would wait for its own pod. */
  missing(): string[] {
    const missing: string[] = [];
    if (this.#draining) missing.push('draining');
    for (const [name, listener] of [
      ['proxy', this.#proxy],
      ['admin', this.#admin],
    ] as const) {
      if (!listener.listening) missing.push(`listener ${name}`);
    }
    if (this.#follower.lagSeconds * 1000 > this.#config.revocation.boundMs) missing.push('store');
    return missing;
  }

  /** Reads the configuration again and takes it, whole or not at all. One reload at a time. */
  reload(): Promise<boolean> {
    this.#reloading = this.#reloading.then(() => this.#reload());
    return this.#reloading;
  }

  async #reload(): Promise<boolean> {
    if (this.#draining) return false;
    const { logger, source } = this.#options;
    const loaded = await loadConfig(source);
    this.#watch?.follow(loaded);
    try {
      if (!loaded.ok) throw new ConfigurationRefused(loaded.problems.map(problemLine));
      const prepared = await this.#prepare(loaded.config);
      for (const problem of loaded.warnings) logger.warn({ problem: problemLine(problem) }, 'configuration warning');
      this.#take(loaded.config, prepared);
    } catch (error) {
      const refused = 'the new configuration is not taken';
      if (error instanceof ConfigurationRefused) for (const problem of error.lines) logger.error({ problem }, refused);
      else if (error instanceof StoreUnavailable) logger.error({ problem: 'the store does not answer' }, refused);
      else logger.fault(error, refused);
      this.#reloads.result(false, null);
      return false;
    }
    this.#reloads.result(true, loaded.hash);
    logger.info({ config: loaded.hash.slice(0, 12) }, 'the new configuration is in force');
    return true;
  }

  /**
   * Everything that can fail, before anything is changed. The store is asked only about what it has not been asked
   * before: an outage is no reason to keep an old route. Rejects with everything that speaks against it.
   */
  async #prepare(next: Config): Promise<Prepared> {
    const { tokens, guard } = this.#config;
    const fixed = compareForReload(this.#config, next);
    if (fixed.length > 0) throw new ConfigurationRefused(fixed.map(key => `${key}: cannot change without a restart`));
    if (differ(tokens.declared, next.tokens.declared)) await refuseDeclared(next, this.#tokens);
    const checksumKeys = differ(tokens.peppers, next.tokens.peppers)
      ? await checksumKeysOf(next, this.#store)
      : this.#checksumKeys;
    const generatedKey = next.admin.keys.length > 0 ? null : (this.#generatedKey ?? (await this.#store.adminKey()));
    const secrets = secretsOf(next, checksumKeys);
    const nextGuard = differ(guard, next.guard) ? new Guard(next.guard, this.#clock) : this.#guard;
    return {
      checksumKeys,
      generatedKey,
      secrets,
      guard: nextGuard,
      policy: policyOf(next, nextGuard, secrets.reader),
      admin: { keys: adminKeysOf(next, generatedKey), hosts: next.admin.hosts, guard: nextGuard },
      fields: fieldRulesOf(next, this.#instance),
    };
  }

  #take(next: Config, { checksumKeys, generatedKey, secrets, guard, policy, admin, fields }: Prepared): void {
    // First: OpenSSL has the last word on a certificate.
    const { listen } = next;
    if (listen.proxy.tls !== null) this.#proxy.renewTls(listen.proxy.tls);
    if (listen.admin.tls !== null) this.#admin.renewTls(listen.admin.tls);
    if (listen.telemetry.tls !== null) this.#health.renewTls(listen.telemetry.tls);
    this.#config = next;
    this.#checksumKeys = checksumKeys;
    this.#generatedKey = generatedKey;
    this.#secrets = secrets;
    this.#guard = guard;
    this.#lookup.configure(cacheOptionsOf(next));
    this.#lookup.declare(secrets.declaredBySecret);
    this.#follower.configure(next.revocation.boundMs);
    this.#forwarder.configure(next.upstreams, fields);
    this.#gate.policy = policy;
    this.#admin.policy = admin;
    this.#options.logger.level = next.log.level;
    this.#requestLog.configure(next.log);
  }

  /** Secrets are made as the configuration in force says, not the one that was there at the start. */
  #maker(): SecretMaker {
    return {
      mint: () => this.#secrets.maker.mint(),
      digest: sha256 => this.#secrets.maker.digest(sha256),
      digests: sha256 => this.#secrets.maker.digests(sha256),
    };
  }

  /**
   * Shuts down in order: not ready, then no new connections, then what is in flight, then streams, then the store.
   * A second call changes nothing.
   */
  async drain(options: { readonly skipDelay?: boolean } = {}): Promise<void> {
    if (this.#draining) return this.closed;
    this.#draining = true;
    this.#gate.draining = true;
    const { delayMs, graceMs } = this.#config.shutdown;
    const { logger } = this.#options;
    logger.info({ in_flight: this.#gate.inFlight }, 'draining');
    this.#watch?.close();
    if (options.skipDelay !== true && delayMs > 0) await pause(delayMs);
    const gone = this.#proxy.close();
    if (!(await this.#gate.idle(graceMs))) {
      this.#forwarder.closeStreams('drain');
      // Closing handshakes get their second; whatever is left then is cut.
      await this.#gate.idle(1500);
    }
    this.#proxy.destroyConnections();
    await gone;
    this.#forwarder.close();
    await this.#usage.stop();
    await this.#follower.stop();
    await this.#admin.close();
    await this.#store.close();
    await this.#health.close();
    logger.info({}, 'closed');
    this.#settleClosed();
  }
}

/** What a configuration needs that could fail. */
interface Prepared {
  readonly checksumKeys: readonly string[];
  readonly generatedKey: string | null;
  readonly secrets: Secrets;
  readonly guard: Guard;
  readonly policy: Policy;
  readonly admin: AdminPolicy;
  readonly fields: FieldRules;
}

const differ = (a: unknown, b: unknown): boolean => JSON.stringify(a) !== JSON.stringify(b);

/** The admin key that the store keeps, where none is configured. */
const ownKey = async ({ admin }: Config, store: Store): Promise<string | null> =>
  admin.keys.length > 0 ? null : store.adminKey();

/** The checksum keys of all peppers that there ever were. One that is now another would make every token under it unknown. */
async function checksumKeysOf({ tokens }: Config, store: Store): Promise<readonly string[]> {
  const kept = await store.keepChecksumKeys(
    tokens.peppers.map(pepper => ({ id: pepper.id, key: checksumKeyOf(pepper) })),
  );
  if (kept.kind === 'kept') return kept.keys;
  const why = `tokens.peppers: "${kept.id}" has another key than the one that this store knows by that id`;
  throw new ConfigurationRefused([`${why}; a new key needs an id of its own, in front of the old one`]);
}

/** Declared tokens have owners that exist, and ids that the store has not given to somebody else. */
async function refuseDeclared(config: Config, store: TokenStore): Promise<void> {
  const owners = new Set(config.tokens.declared.flatMap(({ owner }) => (owner === null ? [] : [owner])));
  const known = new Set<string>();
  for (const owner of owners) {
    const account = await store.getAccount(owner);
    if (account !== null && !account.deleted) known.add(owner);
  }
  const lines = missingOwners(config, known);
  for (const { id, declaredAt } of config.tokens.declared) {
    if ((await store.getToken(id)) === null) continue;
    lines.push(`${declaredAt}: the store has another token with the id ${id}; allowed: an id of its own`);
  }
  if (lines.length > 0) throw new ConfigurationRefused(lines);
}

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));
