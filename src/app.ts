import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { AdminListener } from './admin/admin-listener.ts';
import { HealthListener } from './admin/health.ts';
import { type InForce, inForceOf, joinNext, knowsTheSame, type Surroundings } from './app-in-force.ts';
import { ConfigurationRefused, type Joined, joinStore } from './app-joining.ts';
import { Memory } from './app-memory.ts';
import { joinMetrics } from './app-metrics.ts';
import { Changes, Mounting, type mountOf } from './app-mounts.ts';
import { Managers } from './app-sessions.ts';
import { type OpenedSnapshot, openSnapshot } from './app-snapshot.ts';
import { startupFields } from './app-startup.ts';
import { leaseOptionsOf, listenerOf, processNameOf } from './app-values.ts';
import { backupText, headingOf } from './backup/format.ts';
import { type LoadResult, loadConfig, type Source } from './config/load.ts';
import { problemLine } from './config/problems.ts';
import { type ConfigWatch, watchConfig } from './config/watch.ts';
import { StoreUnavailable } from './errors.ts';
import { Decisions } from './gate/decisions.ts';
import { Explainer } from './gate/explainer.ts';
import { Gate } from './gate/gate.ts';
import { ProxyListener } from './gate/listener.ts';
import { AccountService } from './manage/account-service.ts';
import { Acknowledgements } from './manage/acknowledgement.ts';
import type { ManageParts } from './manage/parts.ts';
import { RoleService } from './manage/role-service.ts';
import { SessionService } from './manage/session-service.ts';
import { TokenService } from './manage/token-service.ts';
import { Watchers } from './manage/watchers.ts';
import type { Clock } from './ports/clock.ts';
import type { Prover } from './ports/prover.ts';
import type { SecretMaker } from './ports/secret-maker.ts';
import type { TokenStore } from './ports/token-store.ts';
import { UpstreamForwarder } from './proxy/forwarder.ts';
import { type Lookup, systemLookup } from './proxy/resolver.ts';
import { randomBase62 } from './secrets/mint.ts';
import { RequestProver } from './secrets/request-prover.ts';
import { Scrypt } from './secrets/scrypt.ts';
import { Vault } from './secrets/vault.ts';
import type { EventualStore } from './stores/eventual-store.ts';
import { openStore } from './stores/open-store.ts';
import type { Logger } from './telemetry/log.ts';
import { Metrics } from './telemetry/metrics.ts';
import { quietLog } from './telemetry/quiet-log.ts';
import { createRecorder } from './telemetry/recorder.ts';
import { RefusalTeller } from './telemetry/refusals.ts';
import { RequestLog } from './telemetry/request-log.ts';
import { RequestMetrics } from './telemetry/request-metrics.ts';
import { meterFeed, meterLedger, meterLimits, meterRegistry, meterStore, StoreMeter } from './telemetry/store-meter.ts';
import { UsageCounters } from './usage/counters.ts';
import { Leases } from './usage/leases.ts';

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
  /** Other rooms for token APIs than ours. */
  readonly mountOf?: typeof mountOf;
  /** The one that keeps Node's own metrics; false in a process that has several. */
  readonly processMetrics?: boolean;
}

/**
 * The composition root: the only place that makes adapters and joins them to ports. It also keeps the order of their
 * lives: the store first and last, the proxy listener last and first.
 */
export class App {
  readonly #options: AppOptions;
  readonly #store: EventualStore;
  readonly #tokens: TokenStore;
  readonly #memory: Memory;
  readonly #processId: string;
  readonly #usage: UsageCounters;
  readonly #leases: Leases;
  readonly #forwarder: UpstreamForwarder;
  readonly #gate: Gate;
  readonly #proxy: ProxyListener;
  readonly #admin: AdminListener;
  readonly #health: HealthListener;
  readonly #managers: Managers;
  readonly #requestLog: RequestLog;
  readonly #reloads: { readonly result: (success: boolean, hash: string | null) => void };
  readonly #surroundings: Surroundings;
  #inForce: InForce;
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
      config: () => (app === null ? config : app.#inForce.config),
      identity: opened?.found?.store ?? null,
      rolledBack: () => {
        if (app !== null) app.#leases.rolledBack();
      },
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
    joined: Joined,
    opened: OpenedSnapshot | null,
  ) {
    const { logger, loaded, version } = options;
    const { config } = loaded;
    const clock = options.clock ?? systemClock;
    const quiet = quietLog(logger, clock, 10_000);
    this.#options = options;
    this.#store = store;
    const instance = `postern-${randomBytes(4).toString('hex')}`;
    this.closed = new Promise(resolve => {
      this.#settleClosed = resolve;
    });

    const metrics = new Metrics({ log: logger, processMetrics: options.processMetrics ?? true });
    const meter = new StoreMeter(metrics, clock);
    this.#tokens = meterStore(store.tokens, meter);
    const ledger = meterLedger(store.usage, meter);
    const limits = meterLimits(store.limits, meter);
    const feed = meterFeed(store.feed, meter);
    const registry = meterRegistry(store.registry, meter);

    const propagation = metrics.histogram('revocation_propagation_seconds').at({});
    const watchers = new Watchers({ feed, tokens: this.#tokens }, opened?.found?.cursor ?? null);
    const memory = new Memory({
      config,
      clock,
      log: quiet,
      process: processId,
      store,
      tokens: this.#tokens,
      feed,
      registry,
      checksumKeys: () => this.#inForce.checksumKeys,
      opened,
      propagated: seconds => propagation.observe(seconds),
      epochBegan: () => this.#leases.rolledBack(),
      watchers,
    });
    this.#memory = memory;
    this.#processId = processId;
    this.#usage = new UsageCounters(ledger, processId, quiet);
    this.#leases = new Leases(
      { ledger: limits, registry, clock, log: quiet, process: processId, watch: watchers },
      leaseOptionsOf(config),
    );

    this.#requestLog = new RequestLog(line => logger.sink.write(line), config.log);
    const recorder = createRecorder(
      {
        metrics: new RequestMetrics(metrics),
        requests: this.#requestLog,
        usage: record => this.#usage.count(record),
        refusals: new RefusalTeller(watchers),
      },
      quiet,
    );

    const scrypt = new Scrypt();
    const vault = new Vault(config.store.encryptionKey, scrypt);
    const parts: ManageParts = {
      clock,
      store: this.#tokens,
      ledger,
      limits: {
        ...limits,
        // What this process has used is told first.
        read: async (...about) => {
          await this.#leases.flush();
          return limits.read(...about);
        },
        // What was spent here is forgiven too, although it has not been reported yet.
        reset: async (...about) => {
          await this.#leases.flush();
          return limits.reset(...about);
        },
      },
      flushUsage: () => this.#usage.flush(),
      apply: events =>
        memory.apply(events).then(
          () => true,
          error => {
            quiet.error({}, 'a change could not be noted on disk: until it is, a restart may forget it', error);
            return false;
          },
        ),
      secrets: this.#maker(),
      constraintSecrets: vault,
      randomText: randomBase62,
      acknowledgements: new Acknowledgements({ registry, feed, clock, process: processId }),
      tokenParameters: () => this.#gate.policy.places.queries,
      declared: () => this.#inForce.secrets.declaredById,
    };
    const tokens = new TokenService(parts);
    const accounts = new AccountService(parts);
    this.#managers = new Managers({
      config,
      lookup: memory.lookup,
      reader: () => this.#inForce.secrets.reader,
      store: this.#tokens,
      accounts,
      clock,
      log: quiet,
    });
    const changes = new Changes();
    const mounting = new Mounting(
      {
        tokens,
        accounts,
        identities: this.#managers.identities,
        clock,
        log: quiet,
        onChange: changes.on,
      },
      options.mountOf,
    );
    this.#surroundings = { clock, instance, mounting };
    this.#inForce = inForceOf(config, joined, this.#surroundings, null);
    const { secrets, policy, admin, fields } = this.#inForce;
    memory.lookup.declare(secrets.declaredBySecret);

    this.#forwarder = new UpstreamForwarder(config.upstreams, fields, {
      clock,
      log: logger,
      lookup: options.lookup ?? systemLookup,
    });
    memory.lookup.onChange(events => {
      this.#forwarder.changed(events);
      changes.tell(events);
    });
    const prover: Prover = new RequestProver({ vault, scrypt, log: quiet });
    const decisions = new Decisions();
    this.#gate = new Gate(
      {
        lookup: memory.lookup,
        prover,
        limits: this.#leases,
        forwarder: this.#forwarder,
        recorder,
        decisions,
        clock,
        log: quiet,
        instance,
      },
      policy,
    );
    this.#proxy = new ProxyListener(
      { ...listenerOf(config.listen.proxy), ...config.listen.proxy },
      {
        onExchange: exchange => void this.#gate.handle(exchange),
        onUnparsed: (...fault) => this.#gate.unparsed(...fault),
      },
      clock,
    );

    this.#admin = new AdminListener(
      listenerOf(config.listen.admin),
      {
        tokens,
        accounts,
        sessions: new SessionService(tokens, parts),
        roles: new RoleService(parts),
        backup: () => {
          if (store.opened === null) throw new StoreUnavailable('the store is not open');
          const { identity, transfer } = store.opened;
          return backupText(headingOf(identity, clock.wall()), transfer.dump());
        },
        watchers,
        decider: new Explainer({
          consider: secret => memory.lookup.consider(secret),
          store: this.#tokens,
          declared: () => this.#inForce.secrets.declaredById,
          prover,
          limits: this.#leases,
          clock,
          instance,
          policy: () => this.#gate.policy,
          decisions,
        }),
        clock,
        log: quiet,
        version,
      },
      admin,
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
      config: () => this.#inForce.config,
      gate: this.#gate,
      proxy: this.#proxy,
      admin: this.#admin,
      health: this.#health,
      forwarder: this.#forwarder,
      memory,
      leases: this.#leases.counts,
      draining: () => this.#draining,
    });
    this.#reloads.result(true, loaded.hash);
  }

  async #listen(): Promise<void> {
    const { logger, loaded } = this.#options;
    // In one beat.
    this.#usage.start();
    this.#leases.start();
    this.#forwarder.start();
    this.#memory.start();
    // A store that is there has answered before the first request asks.
    if (this.#store.opened !== null) await Promise.race([this.#memory.heartbeat.begun, pause(1000)]);
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
    const { version } = this.#options;
    logger.info({ ...startupFields(loaded, this.#ports), process: this.#processId, version }, 'listening');
    // Somebody waits for this line.
    logger.sink.flush();
  }

  /** The ports that are listened on; the configured ones, unless those were 0. */
  get ports(): { readonly proxy: number; readonly admin: number; readonly telemetry: number } {
    return this.#ports;
  }

  /** The admin key that the store keeps where none is configured; else null. */
  get generatedKey(): string | null {
    return this.#inForce.generatedKey;
  }

  /** What is missing before requests can be served. Never the upstream: a sidecar would wait for its own pod. */
  missing(): string[] {
    const missing: string[] = [];
    const { config, generatedKey } = this.#inForce;
    const { lookup, follower } = this.#memory;
    if (this.#draining) missing.push('draining');
    for (const [name, listener] of [
      ['proxy', this.#proxy],
      ['admin', this.#admin],
    ] as const) {
      if (!listener.listening) missing.push(`listener ${name}`);
    }
    const usable = follower.failures === 0 && follower.lagSeconds * 1000 <= config.revocation.boundMs;
    if (!usable && !lookup.serves) missing.push('store');
    if (config.admin.keys.length === 0 && generatedKey === null) missing.push('admin.key');
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
      const joined = await joinNext(this.#inForce, loaded.config, this.#store.opened, this.#tokens);
      for (const problem of loaded.warnings) logger.warn({ problem: problemLine(problem) }, 'configuration warning');
      this.#take(inForceOf(loaded.config, joined, this.#surroundings, this.#inForce));
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

  /** Everything that could fail was asked before, but for one thing: OpenSSL has the last word on a certificate. */
  #take(next: InForce): void {
    const { listen, upstreams, log } = next.config;
    if (listen.proxy.tls !== null) this.#proxy.renewTls(listen.proxy.tls);
    if (listen.admin.tls !== null) this.#admin.renewTls(listen.admin.tls);
    if (listen.telemetry.tls !== null) this.#health.renewTls(listen.telemetry.tls);
    const sameTokens = knowsTheSame(this.#inForce, next);
    this.#inForce = next;
    this.#memory.configure(next.config, sameTokens ? null : next.secrets.declaredBySecret);
    this.#leases.configure(leaseOptionsOf(next.config));
    this.#forwarder.configure(upstreams, next.fields);
    this.#gate.policy = next.policy;
    this.#admin.policy = next.admin;
    this.#managers.configure(next.config);
    this.#options.logger.level = log.level;
    this.#requestLog.configure(log);
  }

  /** The store is open: what it says about the configuration in force holds from now on. */
  #join(joined: Joined): void {
    this.#take(inForceOf(this.#inForce.config, joined, this.#surroundings, this.#inForce));
  }

  /** Ends what goes on in the background. */
  async #end(): Promise<void> {
    await Promise.all([this.#usage.stop(), this.#leases.stop()]);
    await this.#memory.stop();
  }

  /** Secrets are made as the configuration in force says, not the one that was there at the start. */
  #maker(): SecretMaker {
    return {
      mint: () => this.#inForce.secrets.maker.mint(),
      digest: sha256 => this.#inForce.secrets.maker.digest(sha256),
      digests: sha256 => this.#inForce.secrets.maker.digests(sha256),
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
    const { delayMs, graceMs } = this.#inForce.config.shutdown;
    const { logger } = this.#options;
    logger.info({ in_flight: this.#gate.inFlight }, 'draining');
    this.#watch?.close();
    if (options.skipDelay !== true && delayMs > 0) await pause(delayMs);
    try {
      const gone = this.#proxy.close();
      if (!(await this.#gate.idle(graceMs))) {
        this.#forwarder.closeStreams('drain');
        this.#gate.closeConnections();
        // Closing handshakes get their second; whatever is left then is cut.
        await this.#gate.idle(1500);
      }
      this.#proxy.destroyConnections();
      await gone;
      this.#forwarder.close();
      await this.#end();
      await this.#admin.close();
      this.#managers.close();
      await this.#store.close();
      await this.#health.close();
    } catch (error) {
      // Whatever stays open ends with the process.
      logger.fault(error, 'not everything could be closed');
    }
    logger.info({}, 'closed');
    this.#settleClosed();
  }
}

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));
