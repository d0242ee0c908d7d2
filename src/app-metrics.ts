import { X509Certificate } from 'node:crypto';
import type { AdminListener } from './admin/admin-listener.ts';
import type { HealthListener } from './admin/health.ts';
import type { Memory } from './app-memory.ts';
import { ageOf, instantOf } from './cache/freshness.ts';
import type { Config } from './config/config.ts';
import { boundsOf } from './config/outage.ts';
import { type Algorithm, algorithms, type Threshold, thresholds } from './core/limit.ts';
import type { ProxyListener } from './gate/listener.ts';
import type { Clock } from './ports/clock.ts';
import type { UpstreamForwarder } from './proxy/forwarder.ts';
import { excessLabels, renewalLabels, scopeLabels, statusLabel } from './telemetry/labels.ts';
import type { Metrics } from './telemetry/metrics.ts';

type Scope = (typeof scopeLabels)[number];

/** What is counted of the limits that this process holds units of. */
export interface LeaseNumbers {
  /** Units that are held now, and not used. */
  readonly outstanding: number;
  readonly renewals: Readonly<Record<(typeof renewalLabels)[number], number>>;
  readonly burned: number;
  readonly refusals: Readonly<Record<Scope, Readonly<Record<Algorithm, number>>>>;
  readonly thresholds: Readonly<Record<Threshold, number>>;
  readonly excess: Readonly<Record<(typeof excessLabels)[number], number>>;
  /** Milliseconds, as the store last said. */
  readonly clockBehindMs: number;
}

export interface Rooms {
  readonly clock: Clock;
  readonly version: string;
  readonly config: () => Config;
  readonly proxy: ProxyListener;
  readonly admin: AdminListener;
  readonly health: HealthListener;
  readonly forwarder: UpstreamForwarder;
  readonly memory: Memory;
  readonly leases: LeaseNumbers;
  readonly draining: () => boolean;
}

/** Rooms keep plain numbers; here they are joined to the metrics that show them. */
export function joinMetrics(metrics: Metrics, rooms: Rooms) {
  const { clock, version, config, proxy, admin, health, forwarder, memory, leases, draining } = rooms;
  const { lookup, follower, snapshot } = memory;

  metrics.observe('connections', () => [
    [{ listener: 'proxy' }, proxy.connections],
    [{ listener: 'admin' }, admin.connections],
    [{ listener: 'telemetry' }, health.connections],
  ]);
  metrics.observe('connections_rejected_total', () => [
    [{ reason: 'limit' }, proxy.rejected.limit],
    [{ reason: 'tls' }, proxy.rejected.tls],
  ]);
  metrics.observe('streams_open', () => [
    [{ kind: 'websocket' }, forwarder.streams.websocket],
    [{ kind: 'event_stream' }, forwarder.streams.event_stream],
  ]);
  metrics.observe('streams_closed_total', () =>
    [...forwarder.streams.ends].map(([reason, count]) => [{ reason }, count] as const),
  );

  metrics.observe('cache_entries', () => [[{}, lookup.size.positive + lookup.size.negative]]);
  metrics.observe('cache_lookups_total', () => {
    const { hit, negative, stale, miss, unavailable } = lookup.results;
    return [
      [{ result: 'hit' }, hit],
      [{ result: 'negative' }, negative],
      [{ result: 'stale' }, stale],
      [{ result: 'miss' }, miss],
      [{ result: 'unavailable' }, unavailable],
    ];
  });
  metrics.observe('snapshot_age_seconds', () => {
    const proven = snapshot?.proven ?? null;
    return proven === null ? [] : [[{}, ageOf(proven, instantOf(clock)) / 1000]];
  });
  metrics.observe('feed_lag_seconds', () => [[{}, follower.lagSeconds]]);
  metrics.observe('revocation_bound_seconds', () => {
    const { connectedMs, cutOffMs } = boundsOf(config());
    return [
      [{ kind: 'connected' }, connectedMs / 1000],
      [{ kind: 'cut_off' }, cutOffMs / 1000],
    ];
  });

  joinLeases(metrics, leases);

  metrics.observe('upstream_requests_total', () =>
    [...forwarder.stats()].flatMap(({ name: upstream, results }) => [
      [{ upstream, result: 'relayed' as const }, results.relayed] as const,
      [{ upstream, result: 'aborted' as const }, results.aborted] as const,
      [{ upstream, result: 'broken' as const }, results.broken] as const,
      [{ upstream, result: 'failed' as const }, results.failed] as const,
      [{ upstream, result: 'timeout' as const }, results.timeout] as const,
      [{ upstream, result: 'overloaded' as const }, results.overloaded] as const,
    ]),
  );
  metrics.observe('upstream_connections', () =>
    [...forwarder.stats()].flatMap(({ name: upstream, idle, active, streams }) => [
      [{ upstream, state: 'idle' as const }, idle] as const,
      [{ upstream, state: 'busy' as const }, active] as const,
      [{ upstream, state: 'stream' as const }, streams] as const,
    ]),
  );
  metrics.observe('queue_length', () =>
    [...forwarder.stats()].map(({ name: upstream, queued }) => [{ upstream }, queued] as const),
  );
  metrics.observe('upstream_healthy', () =>
    forwarder.health().map(({ upstream, address, healthy }) => [{ upstream, address }, healthy ? 1 : 0] as const),
  );
  metrics.observe('upstream_retries_total', () => [[{}, forwarder.retries]]);

  metrics.observe('admin_requests_total', () => {
    const byLabel = new Map<string, number>();
    for (const [status, count] of admin.counts) {
      const label = statusLabel(status);
      byLabel.set(label, (byLabel.get(label) ?? 0) + count);
    }
    return [...byLabel].map(([code, count]) => [{ code }, count] as const);
  });
  metrics.observe('draining', () => [[{}, draining() ? 1 : 0]]);
  metrics.observe('build_info', () => [[{ version }, 1]]);
  metrics.observe('tls_certificate_expiry_timestamp_seconds', () => {
    const expiry = firstExpiry(config());
    return expiry === null ? [] : [[{}, expiry]];
  });

  const reloads = metrics.counter('config_reloads_total');
  const successful = metrics.gauge('config_last_reload_successful');
  const succeededAt = metrics.gauge('config_last_reload_success_timestamp_seconds');
  let hash = '';
  metrics.observe('config_info', () => [[{ hash }, 1]]);

  let loads = 0;
  return {
    /** A configuration was taken, or not. The first one is no reload. */
    result(success: boolean, taken: string | null): void {
      if (loads++ > 0) reloads.inc({ result: success ? 'success' : 'failure' });
      successful.set({}, success ? 1 : 0);
      if (success) succeededAt.set({}, clock.wall() / 1000);
      if (taken !== null) hash = taken;
    },
  };
}

function joinLeases(metrics: Metrics, leases: LeaseNumbers): void {
  metrics.observe('lease_units_outstanding', () => [[{}, leases.outstanding]]);
  metrics.observe('lease_renewals_total', () =>
    renewalLabels.map(result => [{ result }, leases.renewals[result]] as const),
  );
  metrics.observe('lease_units_burned_total', () => [[{}, leases.burned]]);
  metrics.observe('limit_refusals_total', () =>
    scopeLabels.flatMap(scope =>
      algorithms.map(algorithm => [{ scope, algorithm }, leases.refusals[scope][algorithm]] as const),
    ),
  );
  metrics.observe('limit_thresholds_total', () =>
    thresholds.map(percent => [{ percent: String(percent) }, leases.thresholds[percent]] as const),
  );
  metrics.observe('limit_excess_units_total', () =>
    excessLabels.map(cause => [{ cause }, leases.excess[cause]] as const),
  );
  metrics.observe('limit_clock_behind_seconds', () => [[{}, leases.clockBehindMs / 1000]]);
}

/** Seconds since the epoch at which the first of the served certificates expires. */
function firstExpiry({ listen }: Config): number | null {
  const certificates = [listen.proxy, listen.admin, listen.telemetry].flatMap(({ tls }) => (tls === null ? [] : [tls]));
  if (certificates.length === 0) return null;
  return Math.min(...certificates.map(({ cert }) => new X509Certificate(cert).validToDate.getTime() / 1000));
}
