import { algorithms, thresholds } from '../core/limit.ts';
import { outcomes } from '../ports/recorder.ts';
import {
  excessLabels,
  methodLabels,
  reasonLabels,
  renewalLabels,
  scopeLabels,
  statusLabels,
  storeOperations,
} from './labels.ts';

/**
 * The one table of metrics. Names, types, help and labels stand here and nowhere else: the scrape, the types of the
 * handles, the bound on the number of series and the README's table all come from it.
 *
 * Of a label it says which values it can have: a closed set, whose strangers are counted as `other`; the pattern of a
 * `route`; another name that was `configured`; `bounded`, where whoever keeps the numbers gives only so many of them at a
 * time; or `text`, for a metric that only ever has one sample.
 */
export type LabelValues = readonly string[] | 'route' | 'configured' | 'bounded' | 'text';

export interface MetricEntry {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: Readonly<Record<string, LabelValues>>;
  /** Upper bounds of a histogram's buckets, without +Inf. */
  readonly buckets?: readonly number[];
}

export const metricPrefix = 'postern_';

const requestBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;
const overheadBuckets = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05] as const;
const storeBuckets = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1] as const;
const propagationBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export const metricsTable = {
  requests_total: {
    type: 'counter',
    help: 'Requests by route pattern, method, status and outcome',
    labels: { route: 'route', method: methodLabels, code: statusLabels, outcome: outcomes },
  },
  request_duration_seconds: {
    type: 'histogram',
    help: 'Time from a complete request head to the end of its answer',
    labels: { route: 'route' },
    buckets: requestBuckets,
  },
  request_overhead_seconds: {
    type: 'histogram',
    help: 'The part of a request that was spent in this process deciding it',
    labels: {},
    buckets: overheadBuckets,
  },
  request_bytes_total: {
    type: 'counter',
    help: 'Bytes of request bodies (in) and of answer bodies (out)',
    labels: { direction: ['in', 'out'] },
  },
  decisions_total: {
    type: 'counter',
    help: 'Decisions by reason, invalid tokens told apart by cause',
    labels: { reason: reasonLabels },
  },
  shadow_decisions_total: {
    type: 'counter',
    help: 'Decisions under shadow mode: the reason that stood against the one that would have',
    labels: { live: 'bounded', shadow: 'bounded' },
  },
  connections: {
    type: 'gauge',
    help: 'Open connections by listener',
    labels: { listener: ['proxy', 'admin', 'telemetry', 'decision', 'grpc'] },
  },
  connections_rejected_total: {
    type: 'counter',
    help: 'Connections turned away: over the limit, or without a TLS handshake',
    labels: { reason: ['limit', 'tls'] },
  },
  streams_open: {
    type: 'gauge',
    help: 'Open WebSockets, those of token APIs included, other upgraded connections and event streams',
    labels: { kind: ['websocket', 'upgrade', 'event_stream'] },
  },
  streams_closed_total: {
    type: 'counter',
    help: 'Streams closed, by who or what closed them',
    labels: { reason: ['client', 'upstream', 'revoked', 'expired', 'idle', 'drain', 'fault'] },
  },
  cache_lookups_total: {
    type: 'counter',
    help: 'Token look-ups by what the cache had: a token, a known absence, an old entry, or nothing. Those that the store left unanswered count as unavailable too, and what was served all the same as stale',
    labels: { result: ['hit', 'negative', 'stale', 'miss', 'unavailable'] },
  },
  cache_entries: { type: 'gauge', help: 'Entries of the token cache', labels: {} },
  store_operations_total: {
    type: 'counter',
    help: 'Calls to the token store by how they ended',
    labels: { operation: storeOperations, result: ['ok', 'unavailable', 'error'] },
  },
  store_operation_duration_seconds: {
    type: 'histogram',
    help: 'Time of a call to the token store, waiting for changes apart',
    labels: {},
    buckets: storeBuckets,
  },
  store_up: { type: 'gauge', help: '1 when the last call to the token store was answered, else 0', labels: {} },
  snapshot_age_seconds: {
    type: 'gauge',
    help: 'Time since what the snapshot holds was last known to be so',
    labels: {},
  },
  feed_lag_seconds: {
    type: 'gauge',
    help: 'Time since the change feed was last known to be read to its end',
    labels: {},
  },
  revocation_propagation_seconds: {
    type: 'histogram',
    help: 'Time from a change, by the clock of the process that made it, until it held here',
    labels: {},
    buckets: propagationBuckets,
  },
  revocation_bound_seconds: {
    type: 'gauge',
    help: 'The longest that a change can take to hold here, connected to the store and cut off from it',
    labels: { kind: ['connected', 'cut_off'] },
  },
  lease_units_outstanding: {
    type: 'gauge',
    help: 'Units of limits that this process holds for requests to come',
    labels: {},
  },
  lease_renewals_total: {
    type: 'counter',
    help: 'Questions to the store for units of a limit by what came of them',
    labels: { result: renewalLabels },
  },
  lease_units_burned_total: {
    type: 'counter',
    help: 'Units found here that processes held when they ended without a word; they count as used',
    labels: {},
  },
  limit_refusals_total: {
    type: 'counter',
    help: 'Requests that a limit had too few units for, by whose limit and of what kind',
    labels: { scope: scopeLabels, algorithm: algorithms },
  },
  limit_thresholds_total: {
    type: 'counter',
    help: 'Limits found here to have passed a share of what they allow',
    labels: { percent: thresholds.map(String) },
  },
  limit_excess_units_total: {
    type: 'counter',
    help: 'Units that nobody granted: spent while the store was away, whether or not the limit had them; spent beyond a limit, because the store had lost grants; or said by an answer beyond what its route reserves, and not charged',
    labels: { cause: excessLabels },
  },
  limit_clock_behind_seconds: {
    type: 'gauge',
    help: "How far the store's clock is behind the time that its limits have seen",
    labels: {},
  },
  upstream_requests_total: {
    type: 'counter',
    help: 'Requests sent to an upstream by how they ended',
    labels: { upstream: 'configured', result: ['relayed', 'aborted', 'broken', 'failed', 'timeout', 'overloaded'] },
  },
  upstream_connections: {
    type: 'gauge',
    help: 'Connections to an upstream: idle, busy with a request, or held by a stream',
    labels: { upstream: 'configured', state: ['idle', 'busy', 'stream'] },
  },
  upstream_healthy: {
    type: 'gauge',
    help: '1 for an address of an upstream that takes requests, 0 for one that checks or failed requests speak against',
    labels: { upstream: 'configured', address: 'bounded' },
  },
  upstream_retries_total: {
    type: 'counter',
    help: 'Requests sent again because a reused connection died before a byte came back',
    labels: {},
  },
  queue_length: {
    type: 'gauge',
    help: 'Requests that wait for a connection to an upstream',
    labels: { upstream: 'configured' },
  },
  admin_requests_total: {
    type: 'counter',
    help: 'Requests to the admin listener by status',
    labels: { code: statusLabels },
  },
  config_reloads_total: {
    type: 'counter',
    help: 'Reloads of the configuration by result',
    labels: { result: ['success', 'failure'] },
  },
  config_last_reload_successful: {
    type: 'gauge',
    help: '1 when the last reload of the configuration was taken, else 0',
    labels: {},
  },
  config_last_reload_success_timestamp_seconds: {
    type: 'gauge',
    help: 'When a configuration was last taken, in seconds since the epoch',
    labels: {},
  },
  config_info: { type: 'gauge', help: 'The configuration in force, by its hash', labels: { hash: 'text' } },
  tls_certificate_expiry_timestamp_seconds: {
    type: 'gauge',
    help: 'When the first of the certificates that are served expires, in seconds since the epoch',
    labels: {},
  },
  draining: { type: 'gauge', help: '1 when the process is shutting down, else 0', labels: {} },
  build_info: { type: 'gauge', help: 'The version that runs', labels: { version: 'text' } },
} as const satisfies Readonly<Record<string, MetricEntry>>;

type Table = typeof metricsTable;
export type MetricName = keyof Table;
export type NameOf<T extends MetricEntry['type']> = {
  [N in MetricName]: Table[N]['type'] extends T ? N : never;
}[MetricName];

type ValuesOf<V> = V extends readonly (infer Value)[] ? Value : string;
type NoLabels = Readonly<Record<string, never>>;

/** Labels of one sample of a metric; `{}` for a metric without any. */
export type LabelsOf<N extends MetricName> = keyof Table[N]['labels'] extends never
  ? NoLabels
  : { readonly [L in keyof Table[N]['labels']]: ValuesOf<Table[N]['labels'][L]> };
