import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { AdminListener, type AdminPolicy } from './admin/admin-listener.ts';
import { HealthListener } from './admin/health.ts';
import { ConfigurationRefused, checksumKeysOf, type Joined, joinStore, ownKey, refuseDeclared } from './app-joining.ts';
import { joinMetrics } from './app-metrics.ts';
import { keepingOf, keepSnapshot, type OpenedSnapshot, openSnapshot } from './app-snapshot.ts';
import { startupFields } from './app-startup.ts';
import {
  adminKeysOf,
  cacheOptionsOf,
  fieldRulesOf,
  listenerOf,
  policyOf,
  processNameOf,
  type Secrets,
  secretsOf,
} from './app-values.ts';
import { backupText, headingOf } from './backup/format.ts';
import { CachedLookup } from './cache/cached-lookup.ts';
import { FeedFollower, type FeedListener } from './cache/freshness.ts';
import { Heartbeat } from './cache/heartbeat.ts';
import type { SnapshotKeeper } from './cache/snapshot/keeper.ts';
import type { Config } from './config/config.ts';
import { type LoadResult, loadConfig, type Source } from './config/load.ts';
import { boundsOf } from './config/outage.ts';
import { problemLine } from './config/problems.ts';
import { compareForReload } from './config/reload.ts';
import { type ConfigWatch, watchConfig } from './config/watch.ts';
import { StoreUnavailable } from './errors.ts';
import { Gate } from './gate/gate.ts';
import { Guard } from './gate/guard.ts';
import { ProxyListener } from './gate/listener.ts';
import type { Policy } from './gate/policy.ts';
import { AccountService } from './manage/account-service.ts';
import { Acknowledgements } from './manage/acknowledgement.ts';
import type { ManageParts } from './manage/parts.ts';
import { TokenService } from './manage/token-service.ts';
import type { Clock } from './ports/clock.ts';
import type { SecretMaker } from './ports/secret-maker.ts';
import type { FeedEvent, TokenStore } from './ports/token-store.ts';
import type { FieldRules } from './proxy/fields.ts';
import { UpstreamForwarder } from './proxy/forwarder.ts';
import { type Lookup, systemLookup } from './proxy/resolver.ts';
import { randomBase62 } from './secrets/mint.ts';
import type { EventualStore } from './stores/eventual-store.ts';
import { openStore } from './stores/open-store.ts';
import type { Logger } from './telemetry/log.ts';
import { Metrics } from './telemetry/metrics.ts';
import { quietLog } from './telemetry/quiet-log.ts';
import { createRecorder } from './telemetry/recorder.ts';
import { RequestLog } from './telemetry/request-log.ts';
import { RequestMetrics } from './telemetry/request-metrics.ts';
import { meterFeed, meterLedger, meterRegistry, meterStore, StoreMeter } from './telemetry/store-meter.ts';
import { UsageCounters } from './usage/counters.ts';

const systemClock: Clock = { wall: () => Date.now(), monotonic: () => performance.now() };

export { ConfigurationRefused } from './app-joining.ts';
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
  /** Another way from names of upstreams to addresses than the system's. */
  readonly lookup?: Lookup;
  /** The one that keeps Node's own metrics; false in a process that has several. */
  readonly processMetrics?: boolean;
}

/**
 * The composition root: the only place that makes adapters and joins them to ports. It also keeps the order of their
 * lives: the store first and last, the proxy listener last and first.
 */
export class App {
  readonly #options: AppOptions;
  readonly #clock: Clock;
  readonly #store: EventualStore;
  readonly #tokens: TokenStore;
  readonly #lookup: CachedLookup;
  readonly #follower: FeedFollower;
  readonly #heartbeat: Heartbeat;
  readonly #snapshot: SnapshotKeeper | null;
  readonly #predecessor: string | null;
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
  #checksumKeys: readonly string[] | null;
  #secrets: Secrets;
  #guard: Guard;
  #watch: ConfigWatch | null = null;
  #draining = false;
  #reloading: Promise<boolean> = Promise.resolve(true);
  #ports = { proxy: 0, admin: 0, telemetry: 0 };
  /** Resolves when everything is closed. */
  readonly closed: Promise<void>;
  #settleClosed: () => void = () => {};

  /**
   * Opens the store, checks what only it can tell, and listens. Rejects when any of that fails; nothing stays open. A
   * store that may come later is waited for while requests are answered already.
   */
  static async start(options: AppOptions): Promise<App> {
    const { config } = options.loaded;
    const { logger, clock = systemClock } = options;
    const processId = processNameOf(hostname(), randomBytes(6).toString('hex'));
    const opened = await openSnapshot(config, processId, clock, logger);
    const retired = opened?.found?.checksumKeys ?? null;
    let app: App | null = null;
    let joined: Joined = { checksumKeys: retired, generatedKey: null };
    const release = (): Promise<void> => opened?.snapshot.close() ?? Promise.resolve();
    const store = await joinStore({
      open: options.openStore ?? openStore,
      clock,
      logger,
      config: () => (app === null ? config : app.#config),
      identity: opened?.found?.store ?? null,
      joined: news => {
        joined = news;
        if (app !== null) app.#join(news);
      },
    }).catch(async (error: unknown) => {
      await release();
      throw error;
    });
    try {
      app = new App(options, processId, store, joined, opened);
      await app.#listen();
      return app;
    } catch (error) {
      await release();
      await store.close();
      throw error;
    }
  }

  private constructor(
    options: AppOptions,
    processId: string,
    store: EventualStore,
    { checksumKeys, generatedKey }: Joined,
    opened: OpenedSnapshot | null,
  ) {
    const { logger, loaded, version } = options;
    const { config } = loaded;
    const clock = options.clock ?? systemClock;
    const quiet = quietLog(logger, clock, 10_000);
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
    const feed = meterFeed(store.feed, meter);
    const registry = meterRegistry(store.registry, meter);

    this.#lookup = new CachedLookup(this.#tokens, clock, cacheOptionsOf(config));
    const propagation = metrics.histogram('revocation_propagation_seconds').at({});
    const { connectedMs: boundMs, cutOffMs } = boundsOf(config);
    const apply = (events: readonly FeedEvent[]): Promise<void> => {
      this.#lookup.apply(events);
      return this.#snapshot?.bury(events) ?? Promise.resolve();
    };
    const listener: FeedListener = {
      apply: events => {
        for (const { at } of events) propagation.observe(Math.max(0, clock.wall() - at) / 1000);
        return apply(events);
      },
      missed: () => {
        this.#lookup.missed();
        return this.#snapshot?.discard();
      },
      acknowledged: awaited => {
        if (awaited) this.#heartbeat.soon();
      },
    };
    const found = opened?.found ?? null;
    this.#predecessor = found?.process ?? null;
    this.#follower = new FeedFollower(feed, listener, clock, boundMs, found?.cursor ?? null);
    this.#heartbeat = new Heartbeat(registry, processId, () => this.#follower.applied, clock, {
      boundMs,
      cutOffMs,
    });
    this.#lookup.follow(this.#follower, this.#heartbeat);
    this.#lookup.remember(found?.recall ?? null);
    this.#snapshot =
      opened &&
      keepSnapshot(opened, {
        config,
        store,
        lookup: this.#lookup,
        follower: this.#follower,
        heartbeat: this.#heartbeat,
        checksumKeys: () => this.#checksumKeys,
        clock,
        log: quiet,
      });
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

    this.#forwarder = new UpstreamForwarder(config.upstreams, fieldRulesOf(config, this.#instance), {
      clock,
      log: logger,
      lookup: options.lookup ?? systemLookup,
    });
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
      apply: events =>
        apply(events).then(
          () => true,
          error => {
            quiet.error({}, 'a change could not be noted on disk: until it is, a restart may forget it', error);
            return false;
          },
        ),
      secrets: this.#maker(),
      randomText: randomBase62,
      acknowledgements: new Acknowledgements({ registry, feed, clock, process: processId }),
      declared: () => this.#secrets.declaredById,
    };
    this.#admin = new AdminListener(
      listenerOf(config.listen.admin),
      {
        tokens: new TokenService(parts),
        accounts: new AccountService(parts),
        backup: () => {
          if (store.opened === null) throw new StoreUnavailable('the store is not open');
          const { identity, transfer } = store.opened;
          return backupText(headingOf(identity, clock.wall()), transfer.dump());
        },
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
      snapshot: this.#snapshot,
      draining: () => this.#draining,
    });
    this.#reloads.result(true, loaded.hash);
  }

  async #listen(): Promise<void> {
    const { logger, loaded } = this.#options;
    this.#usage.start();
    this.#follower.start();
    this.#forwarder.start();
    this.#heartbeat.start();
    this.#snapshot?.start();
    void this.#succeed();
    // A store that is there has answered before the first request asks.
    if (this.#store.opened !== null) await Promise.race([this.#heartbeat.begun, pause(1000)]);
    try {
      // Probes and scrapes are answered before requests are.
      this.#ports = { ...this.#ports, telemetry: await this.#health.listen() };
      this.#ports = { ...this.#ports, admin: await this.#admin.listen() };
      this.#ports = { ...this.#ports, proxy: await this.#proxy.listen() };
    } catch (error) {
      await Promise.all([this.#health.close(), this.#admin.close(), this.#proxy.close()]);
      this.#forwarder.close();
      await this.#end();
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
    const usable = this.#follower.failures === 0 && this.#follower.lagSeconds * 1000 <= this.#config.revocation.boundMs;
    if (!usable && !this.#lookup.serves) missing.push('store');
    if (this.#config.admin.keys.length === 0 && this.#generatedKey === null) missing.push('admin.key');
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
    const { tokens } = this.#config;
    const fixed = compareForReload(this.#config, next);
    if (fixed.length > 0) throw new ConfigurationRefused(fixed.map(key => `${key}: cannot change without a restart`));
    // A store that is not open yet is asked all this when it is.
    const store = this.#store.opened;
    let checksumKeys = this.#checksumKeys;
    let generatedKey = next.admin.keys.length > 0 ? null : this.#generatedKey;
    if (store !== null) {
      if (differ(tokens.declared, next.tokens.declared)) await refuseDeclared(next, this.#tokens);
      if (differ(tokens.peppers, next.tokens.peppers)) checksumKeys = await checksumKeysOf(next, store);
      generatedKey ??= await ownKey(next, store);
    }
    return this.#compose(next, { checksumKeys, generatedKey });
  }

  /** What a configuration means, once everything about it is known. */
  #compose(next: Config, { checksumKeys, generatedKey }: Joined): Prepared {
    const { guard } = this.#config;
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
    const { connectedMs: boundMs, cutOffMs } = boundsOf(next);
    this.#follower.configure(boundMs);
    this.#heartbeat.configure({ boundMs, cutOffMs });
    this.#snapshot?.configure(keepingOf(next));
    this.#forwarder.configure(next.upstreams, fields);
    this.#gate.policy = policy;
    this.#admin.policy = admin;
    this.#options.logger.level = next.log.level;
    this.#requestLog.configure(next.log);
  }

  /** The store is open: what it says about the configuration in force holds from now on. */
  #join(joined: Joined): void {
    this.#take(this.#config, this.#compose(this.#config, joined));
  }

  /** Once this process is where the one before it was, nobody serves what that one knew. */
  async #succeed(): Promise<void> {
    if (this.#predecessor === null) return;
    await this.#heartbeat.begun;
    await this.#store.registry.signOff(this.#predecessor).catch(() => {});
  }

  /** Ends what goes on in the background. A snapshot outlives the process, and others go on reckoning with it. */
  async #end(): Promise<void> {
    await this.#usage.stop();
    await this.#follower.stop();
    await this.#snapshot?.stop();
    await this.#heartbeat.stop(this.#snapshot === null);
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
    await this.#end();
    await this.#admin.close();
    await this.#store.close();
    await this.#health.close();
    logger.info({}, 'closed');
    this.#settleClosed();
  }
}

/** What a configuration needs that could fail. */
interface Prepared {
  readonly checksumKeys: readonly string[] | null;
  readonly generatedKey: string | null;
  readonly secrets: Secrets;
  readonly guard: Guard;
  readonly policy: Policy;
  readonly admin: AdminPolicy;
  readonly fields: FieldRules;
}

const differ = (a: unknown, b: unknown): boolean => JSON.stringify(a) !== JSON.stringify(b);

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));
