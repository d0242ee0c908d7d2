import { StoreUnavailable } from '../errors.ts';
import type { ChangeFeed } from '../ports/change-feed.ts';
import type { Clock } from '../ports/clock.ts';
import type { LimitLedger } from '../ports/limit-ledger.ts';
import type { ProcessRegistry } from '../ports/process-registry.ts';
import type { TokenStore } from '../ports/token-store.ts';
import type { UsageLedger } from '../ports/usage-ledger.ts';
import type { StoreOperation } from './labels.ts';
import type { Counter, Gauge, Metrics } from './metrics.ts';
import type { HistogramSeries } from './series.ts';

/** Counts and times calls to the store, whichever of its ports they come through. */
export class StoreMeter {
  readonly #clock: Clock;
  readonly #operations: Counter<'store_operations_total'>;
  readonly #durations: Pick<HistogramSeries, 'observe'>;
  readonly #up: Gauge<'store_up'>;

  constructor(metrics: Metrics, clock: Clock) {
    this.#clock = clock;
    this.#operations = metrics.counter('store_operations_total');
    this.#durations = metrics.histogram('store_operation_duration_seconds').at({});
    this.#up = metrics.gauge('store_up');
  }

  async timed<T>(operation: StoreOperation, call: () => Promise<T>): Promise<T> {
    const began = this.#clock.monotonic();
    try {
      return await this.counted(operation, call);
    } finally {
      this.#durations.observe((this.#clock.monotonic() - began) / 1000);
    }
  }

  async counted<T>(operation: StoreOperation, call: () => Promise<T>, calledOff = (): boolean => false): Promise<T> {
    try {
      const answer = await call();
      this.#operations.inc({ operation, result: 'ok' });
      this.#up.set({}, 1);
      return answer;
    } catch (error) {
      if (calledOff()) throw error;
      // A fault of another kind says nothing about whether the store is there.
      const unavailable = error instanceof StoreUnavailable;
      this.#operations.inc({ operation, result: unavailable ? 'unavailable' : 'error' });
      if (unavailable) this.#up.set({}, 0);
      throw error;
    }
  }
}

export const meterStore = (store: TokenStore, meter: StoreMeter): TokenStore => ({
  find: digests => meter.timed('find', () => store.find(digests)),
  getToken: id => meter.timed('get', () => store.getToken(id)),
  listTokens: query => meter.timed('list', () => store.listTokens(query)),
  createToken: (token, audit, idempotency) =>
    meter.timed('create_token', () => store.createToken(token, audit, idempotency)),
  findCreation: idempotency => meter.timed('find_creation', () => store.findCreation(idempotency)),
  replaceToken: (token, expected, audit, awaited) =>
    meter.timed('replace_token', () => store.replaceToken(token, expected, audit, awaited)),
  settled: () => store.settled(),
  rekey: (id, from, to) => meter.timed('rekey', () => store.rekey(id, from, to)),
  getAccount: id => meter.timed('get', () => store.getAccount(id)),
  getOwner: id => meter.timed('get', () => store.getOwner(id)),
  getRole: id => meter.timed('get', () => store.getRole(id)),
  listRoles: () => meter.timed('list', () => store.listRoles()),
  putRole: (role, expected, audit) => meter.timed('put_role', () => store.putRole(role, expected, audit)),
  orderRoles: (ids, audit) => meter.timed('order_roles', () => store.orderRoles(ids, audit)),
  listAccounts: query => meter.timed('list', () => store.listAccounts(query)),
  putAccount: (account, expected, audit, awaited) =>
    meter.timed('put_account', () => store.putAccount(account, expected, audit, awaited)),
  countLive: owner => meter.timed('list', () => store.countLive(owner)),
  listEvents: query => meter.timed('list', () => store.listEvents(query)),
});

export const meterLedger = (ledger: UsageLedger, meter: StoreMeter): UsageLedger => ({
  report: report => meter.timed('usage_report', () => ledger.report(report)),
  total: tokenId => meter.timed('usage_read', () => ledger.total(tokenId)),
  totals: tokenIds => meter.timed('usage_read', () => ledger.totals(tokenIds)),
  series: (tokenId, step, from, to) => meter.timed('usage_read', () => ledger.series(tokenId, step, from, to)),
});

/** What managers do with limits is one operation: series are few. */
export const meterLimits = (ledger: LimitLedger, meter: StoreMeter): LimitLedger => ({
  exchange: (questions, circumstances) =>
    meter.timed('limits_exchange', () => ledger.exchange(questions, circumstances)),
  define: (subject, version, limits) => meter.timed('limits_manage', () => ledger.define(subject, version, limits)),
  read: (subject, version, limits) => meter.timed('limits_manage', () => ledger.read(subject, version, limits)),
  reset: (subject, name) => meter.timed('limits_manage', () => ledger.reset(subject, name)),
  listen: (hear, signal) => ledger.listen(hear, signal),
});

export const meterRegistry = (registry: ProcessRegistry, meter: StoreMeter): ProcessRegistry => ({
  beat: heartbeat => meter.timed('registry_beat', () => registry.beat(heartbeat)),
  signOff: process => meter.timed('registry_sign_off', () => registry.signOff(process)),
  roll: () => meter.timed('registry_roll', () => registry.roll()),
});

/** A read waits for changes on purpose, so it is counted and not timed; one that we call off is neither. */
export const meterFeed = (feed: ChangeFeed, meter: StoreMeter): ChangeFeed => ({
  mark: cursor => feed.mark(cursor),
  head: () => meter.timed('feed_head', () => feed.head()),
  since: cursor => meter.timed('feed_since', () => feed.since(cursor)),
  read: (cursor, waitMs, signal) =>
    meter.counted(
      'feed_read',
      () => feed.read(cursor, waitMs, signal),
      () => signal?.aborted === true,
    ),
});
