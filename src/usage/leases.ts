import {
  abandon,
  answered,
  type Charge,
  charge,
  isLow,
  type LocalLimit,
  type LocalWindow,
  lacking,
  noticed,
  overdraw,
  partsOf,
  questionFor,
  type Served,
  sent,
  serve,
  settleCharge,
  spendable,
  type Times,
  tick,
  tickMs,
  unanswered,
  type Waiter,
  wait,
} from '../core/charging.ts';
import { heldBy, idleOf, unreportedOf } from '../core/holding.ts';
import { type Circumstances, closedMs } from '../core/ledger.ts';
import { type LimitView, thresholds } from '../core/limit.ts';
import type { LimitAnswer, LimitClaim, WindowAnswer } from '../core/limit-book.ts';
import { isKnownShort, secondsToWait, viewOf, waitFor, weighed, weighedWait } from '../core/limit-view.ts';
import { limitsVersion, type Millis, type Subject } from '../core/token.ts';
import { StoreUnavailable } from '../errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { LimitedSubject, LimitLedger, LimitNotice, SubjectQuestion } from '../ports/limit-ledger.ts';
import type { LimitWatch } from '../ports/limit-watch.ts';
import type { LimitCharge, LimitRefusal, Limits } from '../ports/limits.ts';
import type { Log } from '../ports/log.ts';
import type { ProcessRegistry } from '../ports/process-registry.ts';
import { LeaseCounts } from './lease-counts.ts';
import { type Bundle, currentBundle, type Holder, Holders, isCurrent } from './lease-holders.ts';

export interface LeaseOptions {
  /** Longest wait for units that other processes hold. */
  readonly waitMs: Millis;
  /** Longest wait for the store. */
  readonly deadlineMs: Millis;
  /** What becomes of requests that no units are held for, while the store does not answer. */
  readonly outage: 'closed' | 'open';
}

export interface LeaseParts {
  readonly ledger: LimitLedger;
  readonly registry: Pick<ProcessRegistry, 'roll'>;
  readonly clock: Clock;
  readonly log: Log;
  /** This run of this process, unlike every other. */
  readonly process: string;
  readonly watch: LimitWatch;
}

interface Waiting {
  readonly bundle: Bundle;
  readonly cost: number;
  readonly until: Millis;
  readonly asker: { readonly answered: boolean };
  readonly resolve: (outcome: LimitCharge | LimitRefusal) => void;
}

/** A claim under way. */
interface Said {
  readonly holder: Holder;
  readonly local: LocalLimit;
  readonly part: LocalWindow;
  readonly said: LimitClaim;
  /** Spent units that the store was known to know of. */
  readonly reported: number;
}

interface Call {
  readonly question: SubjectQuestion;
  readonly said: readonly Said[];
}

/** Most requests that wait at a time, and most for the limits of one token: it must not keep others out. */
const mostWaiting = { all: 32_768, alike: 16_384 } as const;

/** Most claims of one call. */
const mostClaims = 500;

/** Most claims of one report: whoever asks for units, or for anything else, waits as long at the store. */
const mostReported = 100;

/** How often the processes that share the store are counted, and at most while some of them may be gone. */
const rollMs = { calm: 10_000, dry: 500 } as const;

const sweepMs = 100;

/** How far the store's clock may be behind what it said before without anybody being told. */
const behindMs = 1000;

const deaf =
  'notices of limits cannot be heard, and units that come back are found once a second: the user in the store lacks ' +
  "subscribe, or the channels; see the line for Redis's ACL file in the README";

/** How late a tick may come. */
const lateMs = 100;

/** Milliseconds that giving back may take at the end. */
const farewellMs = 2000;

/**
 * The leases of this process: requests are charged to units that it holds, at once, and what has to be said to the store
 * is said once a second, or when somebody waits. What to say, and who goes on when, is `core/charging.ts`; here it is
 * sent and heard.
 */
export class Leases implements Limits {
  readonly counts: LeaseCounts = new LeaseCounts(() => this.#outstanding());
  readonly #parts: LeaseParts;
  readonly #holders = new Holders();
  readonly #waiting = new Map<Waiter, Waiting>();
  /** Holders that may have something to say before the next tick. */
  readonly #due = new Set<Holder>();
  /** Holders that nobody waits for, to be reported in their turn. */
  readonly #later = new Set<Holder>();
  #reporting: Promise<void> | null = null;
  readonly #underWay = new Set<Promise<void>>();
  /** What was asked of these was not answered within the deadline. An answer that comes later is taken all the same. */
  readonly #silent = new WeakSet<LocalWindow>();
  readonly #listening = new AbortController();
  #options: LeaseOptions;
  #flushing = false;
  #stirred = false;
  #timer: NodeJS.Timeout | null = null;
  #sweeper: NodeJS.Timeout | null = null;
  #tickedAt: Millis;
  #roll: Circumstances['roll'] = null;
  /** It lacks somebody who was there before, or there was none before: then somebody's units may have to be burned. */
  #someHaveGone = false;
  #processes = 1;
  #rolling = false;
  /** The store lets nobody here hear notices. */
  #deaf = false;
  #rolledAt: Millis = Number.NEGATIVE_INFINITY;
  /** On the monotonic clock. */
  #closedUntil: Millis = Number.NEGATIVE_INFINITY;

  constructor(parts: LeaseParts, options: LeaseOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#tickedAt = parts.clock.monotonic();
    this.#holders.changed = holder => this.#redefined(holder);
  }

  configure(options: LeaseOptions): void {
    this.#options = options;
  }

  /** Hears from now on when others ask for units, or give some back. */
  listen(): void {
    this.#parts.ledger.listen(notice => this.#hear(notice), this.#listening.signal);
  }

  start(): void {
    this.listen();
    this.#timer ??= setInterval(() => this.tick(), tickMs).unref();
  }

  // ---- requests -------------------------------------------------------------------------------------------------------

  charge(
    subject: Subject,
    cost: number,
    asker: { readonly answered: boolean },
  ): LimitCharge | LimitRefusal | null | Promise<LimitCharge | LimitRefusal> {
    const { token, account } = subject;
    if (cost === 0 || (token.limits.length === 0 && (account === null || account.limits.length === 0))) return null;
    const now = this.#now();
    const bundle = this.#holders.bundleOf(subject, now);
    if (bundle === null) return { kind: 'busy' };
    const outcome = charge(bundle.limits, cost, now);
    if (typeof outcome === 'object') {
      this.#renew(bundle, now);
      return new Taken(this, bundle, outcome);
    }
    return outcome === 'refused' ? this.#refusal(bundle, cost, now) : this.#wait(bundle, cost, asker, now);
  }

  async weigh(subject: Subject, cost: number) {
    await this.flush();
    const { token, account } = subject;
    const { ledger, clock } = this.#parts;
    const of = async (about: LimitedSubject, version: number, limits: Subject['token']['limits']) => {
      const states = limits.length === 0 ? [] : await ledger.read(about, version, limits);
      const now = clock.wall();
      return states.map(state => ({
        view: weighed(state, about.kind, cost, now),
        wait: weighedWait(state, cost, now),
      }));
    };
    const [ofToken, ofAccount] = await Promise.all([
      of({ kind: 'token', id: token.id }, limitsVersion(token), token.limits),
      account === null ? [] : of({ kind: 'account', id: account.id }, account.version, account.limits),
    ]);
    const found = [...ofToken, ...ofAccount];
    const limits = found.map(({ view }) => view);
    const waits = found.filter(({ view }) => view.violated).map(({ wait }) => wait);
    if (waits.length === 0) return { limits, refusal: null };
    return { limits, refusal: { kind: 'refused' as const, limits, retryAfter: secondsToWait(waits) } };
  }

  /** Ahead of need: what the next tick would come too late for, at the pace of this second or of the last. */
  #renew(bundle: Bundle, now: Times): void {
    for (const local of bundle.limits) {
      if (!isLow(local)) continue;
      const elapsed = Math.max(lateMs, now.monotonic - this.#tickedAt);
      const pace = Math.max(local.demand / 1000, local.taken / elapsed);
      const left = Math.max(0, tickMs - elapsed) + lateMs;
      if (idleOf(local.current.holding) < 1.2 * pace * left) this.#mark(bundle, local);
    }
  }

  #mark({ token, account, ofToken }: Bundle, local: LocalLimit): void {
    const holder = ofToken.includes(local) ? token : account;
    if (holder !== null) this.#soon(holder);
  }

  #refusal(bundle: Bundle, cost: number, now: Times): LimitRefusal {
    const refused = lacking(bundle.limits, cost, now);
    // The first that refuses ends the asking: others may be known to be spent too, and have to be waited for as well.
    const refusing =
      refused.length === 0
        ? []
        : bundle.limits.filter(local => refused.includes(local) || isKnownShort(local, cost, now));
    const limits = this.#views(bundle, now, refusing, cost);
    this.counts.refused(limits);
    const retryAfter = refusing.length === 0 ? 1 : secondsToWait(refusing.map(local => waitFor(local, cost, now)));
    return { kind: 'refused', limits, retryAfter };
  }

  #views(bundle: Bundle, now: Times, refusing: readonly LocalLimit[] = [], cost = 0): readonly LimitView[] {
    return bundle.limits.flatMap(local => {
      if (local.gone) return [];
      const scope = bundle.ofToken.includes(local) ? 'token' : 'account';
      return [viewOf(local, scope, refusing.includes(local) ? cost : null, now)];
    });
  }

  #wait(
    bundle: Bundle,
    cost: number,
    asker: Waiting['asker'],
    now: Times,
  ): LimitCharge | LimitRefusal | Promise<LimitCharge | LimitRefusal> {
    const isClosed = bundle.limits.some(local => local.closed && !local.gone && spendable(local, now) < cost);
    if (isClosed || now.monotonic < this.#closedUntil || this.#isSilent(bundle, cost, now)) {
      return this.#without(bundle, cost);
    }
    let alike = 0;
    for (const { waiters } of bundle.limits) alike += waiters.length;
    if (alike >= mostWaiting.alike || this.#waiting.size >= mostWaiting.all) return { kind: 'busy' };
    for (const local of bundle.limits) {
      // All that is not known yet is asked for in one call, although units are waited for in their order.
      if (local.current.heardAt === null) local.current.mark = Math.max(local.current.mark, cost);
      if (!local.gone && spendable(local, now) < cost) this.#mark(bundle, local);
    }
    const { waitMs, deadlineMs } = this.#options;
    const until = now.monotonic + Math.max(waitMs, deadlineMs);
    const { promise, resolve } = Promise.withResolvers<LimitCharge | LimitRefusal>();
    const { waiter, served } = wait(bundle.limits, cost, now, until);
    this.#waiting.set(waiter, { bundle, cost, until, asker, resolve });
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepMs).unref();
    this.#serve(served, now);
    return promise;
  }

  /** Somebody has waited for as long as a request may already, and has heard nothing. */
  #isSilent({ limits }: Bundle, cost: number, now: Times): boolean {
    return limits.some(local => {
      const { current } = local;
      return current.asking && this.#silent.has(current) && !local.gone && spendable(local, now) < cost;
    });
  }

  /** While the store does not answer, or has lost something and grants nothing. */
  #without(bundle: Bundle, cost: number): LimitCharge | LimitRefusal {
    return this.#options.outage === 'open' ? new Overdrawn(this, bundle, cost) : { kind: 'unavailable' };
  }

  /** What became of some who waited. Others have gone on to wait for another limit. */
  #serve(served: readonly Served[], now: Times): void {
    if (served.length > 0) this.#stir();
    for (const { waiter, outcome } of served) {
      const waiting = this.#waiting.get(waiter);
      if (waiting === undefined) continue;
      const { bundle, cost } = waiting;
      if (outcome === 'late') this.#resolve(waiter, { kind: 'busy' });
      else if (outcome === 'refused') this.#resolve(waiter, this.#refusal(bundle, cost, now));
      else if (isCurrent(bundle)) this.#resolve(waiter, new Taken(this, bundle, outcome));
      else this.#anew(waiter, waiting, outcome, now);
    }
  }

  /** Attack: who waits while limits are replaced would be held to those before alone, which are no more. */
  #anew(waiter: Waiter, { bundle, cost, asker }: Waiting, taken: Charge, now: Times): void {
    settleCharge(taken, 0);
    // Not at once: what one gives back may serve the next one, to whom the same happens.
    queueMicrotask(() => this.#freed(bundle));
    const next = currentBundle(bundle);
    const outcome = charge(next.limits, cost, now);
    if (outcome === 'refused') this.#resolve(waiter, this.#refusal(next, cost, now));
    else if (outcome !== 'short') this.#resolve(waiter, new Taken(this, next, outcome));
    else {
      const { resolve } = this.#waiting.get(waiter)!;
      this.#waiting.delete(waiter);
      void Promise.resolve(this.#wait(next, cost, asker, now)).then(resolve);
    }
  }

  #resolve(waiter: Waiter, outcome: LimitCharge | LimitRefusal): void {
    const waiting = this.#waiting.get(waiter);
    this.#waiting.delete(waiter);
    waiting?.resolve(outcome);
  }

  /** Those who have waited for too long, or whose clients have gone. */
  #sweep(): void {
    const now = this.#now();
    for (const [waiter, { until, asker }] of this.#waiting) {
      if (now.monotonic < until && !asker.answered) continue;
      const served = abandon(waiter, now);
      this.#resolve(waiter, { kind: 'busy' });
      this.#serve(served, now);
      // Whoever is first now has not asked yet.
      this.#stir();
    }
    if (this.#waiting.size > 0 || this.#sweeper === null) return;
    clearInterval(this.#sweeper);
    this.#sweeper = null;
  }

  /** The store does not say whether there are units for those who wait here. */
  #fail(local: LocalLimit, now: Times): void {
    for (const waiter of [...local.waiters]) {
      const waiting = this.#waiting.get(waiter);
      const served = abandon(waiter, now);
      if (waiting !== undefined) this.#resolve(waiter, this.#without(waiting.bundle, waiting.cost));
      this.#serve(served, now);
    }
  }

  // ---- outcomes -------------------------------------------------------------------------------------------------------

  /** For charges. */
  views(bundle: Bundle): readonly LimitView[] {
    return this.#views(bundle, this.#now());
  }

  /** For charges: the outcome is known. */
  settle(bundle: Bundle, charge: Charge, spent: number): void {
    settleCharge(charge, spent);
    if (spent < charge.cost) this.#freed(bundle);
  }

  /** For charges: the outcome of a request that no units were held for is known. */
  settleOverdrawn({ limits }: Bundle, spent: number): void {
    overdraw(limits, spent, this.#now());
    this.counts.excess.outage += spent;
  }

  #freed(bundle: Bundle): void {
    const now = this.#now();
    for (const local of bundle.limits) {
      if (local.waiters.length > 0) this.#serve(serve(local, now), now);
      if (local.current.holding.recall > local.current.holding.answered) this.#mark(bundle, local);
    }
  }

  // ---- asking ---------------------------------------------------------------------------------------------------------

  #soon(holder: Holder): void {
    this.#due.add(holder);
    this.#flushSoon();
  }

  /** Those who wait are asked for, unless the store was, and has said that they must wait. */
  #stir(): void {
    this.#stirred = true;
    this.#flushSoon();
  }

  /** What comes in one turn of the event loop is asked in one call. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #waitingFor(): void {
    const seen = new Set<Bundle>();
    for (const { bundle } of this.#waiting.values()) {
      if (seen.has(bundle)) continue;
      seen.add(bundle);
      for (const local of bundle.limits) {
        if (local.waiters.length > 0 && !local.told && !local.current.asking) this.#mark(bundle, local);
      }
    }
  }

  /** Once a second: reports, renewals, what lies idle, and what comes. */
  tick(): void {
    const now = this.#now();
    const elapsed = now.monotonic - this.#tickedAt;
    this.#tickedAt = now.monotonic;
    for (const holder of this.#holders) {
      for (const local of holder.all.values()) {
        tick(local, now, elapsed);
        // What would have been told is asked about, once a second.
        if (this.#deaf && local.refusedFrom < Number.POSITIVE_INFINITY) noticed(local, 'news', Number.NaN, 0);
        // What would not last until the next tick is asked for with this one.
        local.current.mark = Math.max(local.current.mark, Math.ceil(1.5 * local.demand));
      }
      this.#holders.forget(holder, now);
      if (!holder.forgotten) (isWaitedFor(holder) ? this.#due : this.#later).add(holder);
    }
    if (this.#holders.size > 0 && now.monotonic - this.#rolledAt >= rollMs.calm) this.#callRoll(now);
    this.#flush();
    this.#report();
  }

  /**
   * Attack: many tokens used once a second would have the store busy with their reports, while requests of others wait. So
   * one report follows the other, and what somebody waits for is said between them.
   */
  #report(): void {
    if (this.#reporting !== null) return;
    const now = this.#now();
    const calls: Call[] = [];
    let claims = 0;
    for (const holder of this.#later) {
      this.#later.delete(holder);
      const call = this.#callFor(holder, now);
      if (call === null) continue;
      calls.push(call);
      claims += call.said.length;
      if (claims >= mostReported) break;
    }
    if (calls.length === 0) return;
    this.#reporting = this.#send(calls, now).finally(() => {
      this.#reporting = null;
      this.#report();
    });
  }

  /** Reports what is spent now, for somebody who asks how much that is. Never rejects. */
  async flush(): Promise<void> {
    // What is under way already does not tell of the last requests.
    for (let rounds = 0; rounds < 2; rounds++) {
      for (const holder of this.#holders) if (isUnreported(holder)) this.#later.add(holder);
      this.#report();
      // What comes meanwhile is not waited for.
      const last = [...this.#later].at(-1);
      for (let most = this.#later.size; most > 0 && this.#reporting !== null; most--) {
        if (last === undefined || !this.#later.has(last)) break;
        await this.#reporting;
      }
      await Promise.all(this.#underWay);
    }
  }

  #flush(): void {
    const now = this.#now();
    if (this.#stirred) this.#waitingFor();
    this.#stirred = false;
    let calls: Call[] = [];
    let claims = 0;
    const due = [...this.#due];
    this.#due.clear();
    for (const holder of due) {
      const call = this.#callFor(holder, now);
      if (call === null) continue;
      if (claims + call.said.length > mostClaims) {
        void this.#send(calls, now);
        [calls, claims] = [[], 0];
      }
      calls.push(call);
      claims += call.said.length;
    }
    void this.#send(calls, now);
  }

  #callFor(holder: Holder, now: Times): Call | null {
    const said: Said[] = [];
    for (const local of holder.all.values()) {
      const asked: Said[] = [];
      for (const part of partsOf(local)) {
        const { reported } = part.holding;
        const claim = questionFor(local, part, this.#parts.process, now);
        if (claim === null) continue;
        asked.push({ holder, local, part, said: this.#bounded(claim, now), reported });
      }
      // Afterwards: what is said of one window depends on whether something was missed, which saying it settles.
      for (const { part } of asked) {
        this.#silent.delete(part);
        sent(local, part);
      }
      said.push(...asked);
    }
    if (said.length === 0) return null;
    const { subject, version, limits } = holder;
    return { question: { subject, version, limits, claims: said.map(each => each.said) }, said };
  }

  /** Nothing is asked for while holders say again what they have. */
  #bounded(said: LimitClaim, now: Times): LimitClaim {
    return now.monotonic < this.#closedUntil ? { ...said, claim: { ...said.claim, need: 0, want: 0 } } : said;
  }

  #send(calls: readonly Call[], sentAt: Times): Promise<void> {
    if (calls.length === 0) return Promise.resolve();
    const call = this.#exchange(calls, sentAt).catch((error: unknown) =>
      this.#parts.log.fault(error, 'an answer about limits could not be used'),
    );
    this.#underWay.add(call);
    return call.finally(() => this.#underWay.delete(call));
  }

  async #exchange(calls: readonly Call[], sentAt: Times): Promise<void> {
    const { ledger, log } = this.#parts;
    const isDry = calls.some(({ said }) => said.some(({ said: { claim } }) => claim.need > 0));
    let answers: readonly (LimitAnswer | null)[] = [];
    let settled = false;
    // An answer that came in time may lie behind a timer that fires late.
    const late = setTimeout(() => setImmediate(() => settled || this.#late(calls)), this.#options.deadlineMs);
    try {
      // Nobody has to be dry for what is burned to show: it goes with the reports until the next roll.
      const isAsked = isDry || this.#someHaveGone;
      const roll = isAsked && sentAt.monotonic - this.#rolledAt < rollMs.calm ? this.#roll : null;
      const questions = calls.map(({ question }) => question);
      answers = await ledger.exchange(questions, { roll, processes: this.#processes });
    } catch (error) {
      if (error instanceof StoreUnavailable) log.warn({}, 'units of limits cannot be asked for, nor reported', error);
      else log.fault(error, 'units of limits could not be asked for');
    }
    settled = true;
    clearTimeout(late);
    const now = this.#now();
    // Each server has a clock, and so has each token: the worst is told.
    const heard = answers.flatMap(answer => answer?.behind ?? []);
    if (heard.length > 0) this.counts.clockBehindMs = Math.max(...heard);
    if (heard.length > 0 && this.counts.clockBehindMs > behindMs) {
      const message =
        "the store's clock is behind what it said before: windows of limits end later, once it has caught up";
      log.warn({ behindMs: this.counts.clockBehindMs }, message);
    }
    calls.forEach(({ said }, i) => {
      const answer = answers[i] ?? null;
      said.forEach((each, j) => {
        if (answer === null) this.#unheard(each, now);
        else this.#heard(each, answer.answers[j] ?? null, sentAt, answer.now - answer.behind, now);
      });
    });
    this.#stir();
  }

  /** Requests wait no longer for the store, although these claims, which may be reports, are under way for longer. */
  #late(calls: readonly Call[]): void {
    const now = this.#now();
    for (const { said } of calls) {
      for (const { local, part } of said) {
        if (!part.asking) continue;
        this.#silent.add(part);
        if (part === local.current) this.#fail(local, now);
      }
    }
  }

  #unheard({ local, part, said }: Said, now: Times): void {
    unanswered(part);
    this.counts.unanswered(said.claim);
    this.#fail(local, now);
  }

  #heard(each: Said, answer: WindowAnswer | null, sentAt: Times, storeTime: Millis, now: Times): void {
    const { holder, local, part, said } = each;
    answered(local, part, said.claim, sentAt, answer, storeTime);
    if (answer !== null) {
      this.counts.answered(said.claim, answer);
      this.#tell(each, answer);
      if (answer.answer.verdict === 'waiting') this.#callRoll(now);
    }
    this.#serve(serve(local, now), now);
    // The store has lost grants, and waits for those who hold them: that may take longer than anybody waits here.
    if (local.closed) this.#fail(local, now);
    // Somebody has asked for what was idle while this was under way.
    for (const { holding, asking } of partsOf(local)) {
      if (!asking && holding.recall > holding.answered && idleOf(holding) > 0) this.#soon(holder);
    }
  }

  /** Burned units, and shares of a limit that were passed with this report, so that one process tells of each. */
  #tell(
    { holder: { subject, owner }, local, said: { claim }, reported }: Said,
    { window, capacity, answer }: WindowAnswer,
  ) {
    const { log, watch, clock } = this.#parts;
    const { used, burned } = answer;
    const about = { kind: subject.kind, id: subject.id, limit: local.limit.name };
    if (burned > 0) log.warn({ ...about, units: burned }, 'a process has ended with units of a limit: they are burned');
    if (answer.excess > 0) {
      log.error({ ...about, units: answer.excess }, 'the store has lost grants: more is used than the limit allows');
    }
    if (capacity === null || capacity === 0) return;
    const before = used - burned - Math.max(0, claim.spent + claim.overdrawn - reported);
    for (const percent of thresholds) {
      const share = (capacity * percent) / 100;
      if (before >= share || used < share) continue;
      this.counts.thresholds[percent]++;
      const { name, max } = local.limit;
      watch.passed({ at: clock.wall(), subject, owner, limit: name, percent, max, used, ends: window.ends });
    }
  }

  // ---- what is heard --------------------------------------------------------------------------------------------------

  #hear(notice: LimitNotice): void {
    const now = this.#now();
    if (notice.kind === 'deaf') {
      this.#deaf = true;
      this.#parts.log.warn({}, deaf);
    } else if (notice.kind === 'lost') {
      this.#deaf = false;
      for (const holder of this.#holders) {
        for (const local of holder.all.values()) noticed(local, 'lost', 0, 0);
        if (isWaitedFor(holder)) this.#soon(holder);
        else this.#later.add(holder);
      }
      this.#report();
    } else {
      const holder = this.#holders.find(notice.subject);
      const local = holder?.all.get(notice.ledger);
      if (holder === null || local === undefined) return;
      noticed(local, notice.kind, notice.label, notice.recall);
      this.#serve(serve(local, now), now);
      if (notice.kind === 'recall' || local.waiters.length > 0) this.#soon(holder);
    }
  }

  #redefined(holder: Holder): void {
    const now = this.#now();
    for (const local of holder.all.values()) this.#serve(serve(local, now), now);
    this.#soon(holder);
  }

  /** The store has lost what it had acknowledged, or may have: everybody says what they hold before anybody takes more. */
  rolledBack(): void {
    const now = this.#now();
    this.#closedUntil = now.monotonic + closedMs;
    for (const holder of this.#holders) {
      for (const local of holder.all.values()) {
        noticed(local, 'lost', 0, 0);
        for (const part of partsOf(local)) if (part.heardAt !== null) part.doubtful = true;
        this.#fail(local, now);
      }
      this.#soon(holder);
    }
  }

  /** Who lives: units of others are not waited for. */
  #callRoll(now: Times): void {
    if (this.#rolling || now.monotonic - this.#rolledAt < rollMs.dry) return;
    this.#rolling = true;
    this.#rolledAt = now.monotonic;
    void this.#parts.registry
      .roll()
      .then(
        ({ now: at, processes }) => {
          const live = new Set(processes.map(({ process }) => process));
          this.#someHaveGone = this.#roll === null || !this.#roll.live.isSubsetOf(live);
          this.#roll = { at, live };
          this.#processes = Math.max(1, processes.length);
          // Whoever waits for units of one that has gone may hear of it now.
          for (const { bundle } of this.#waiting.values()) for (const local of bundle.limits) local.told = false;
          this.#stir();
        },
        () => {},
      )
      .finally(() => {
        this.#rolling = false;
      });
  }

  #outstanding(): number {
    let units = 0;
    for (const { all } of this.#holders) {
      for (const local of all.values()) for (const { holding } of partsOf(local)) units += heldBy(holding);
    }
    return units;
  }

  // ---- the end --------------------------------------------------------------------------------------------------------

  /** Reports everything and gives everything back, as far as the store answers. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
    this.#timer = null;
    this.#sweeper = null;
    this.#listening.abort();
    this.#later.clear();
    const until = this.#parts.clock.monotonic() + farewellMs;
    for (let rounds = 0; rounds < 5 && this.#parts.clock.monotonic() < until; rounds++) {
      await this.#heardAll(until);
      const open = [...this.#holders].filter(isOpen);
      if (open.length === 0) break;
      for (const holder of open) {
        // What is taken for missed is said, with everything that is idle.
        for (const local of holder.all.values()) local.suspicious = true;
        this.#due.add(holder);
      }
      this.#flush();
    }
    await this.#heardAll(until);
    const now = this.#now();
    for (const { all } of this.#holders) for (const local of all.values()) this.#fail(local, now);
  }

  async #heardAll(until: Millis): Promise<void> {
    if (this.#underWay.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, Math.max(0, until - this.#parts.clock.monotonic()));
    await Promise.race([promise, Promise.all(this.#underWay)]);
    clearTimeout(timer);
  }

  #now(): Times {
    const { clock } = this.#parts;
    return { monotonic: clock.monotonic(), wall: clock.wall() };
  }
}

const isUnreported = ({ all }: Holder): boolean =>
  [...all.values()].some(local => partsOf(local).some(({ holding }) => unreportedOf(holding) > 0));

const isWaitedFor = ({ all }: Holder): boolean => [...all.values()].some(({ waiters }) => waiters.length > 0);

/** It has units to give back, or to speak of. */
const isOpen = ({ all }: Holder): boolean =>
  [...all.values()].some(local =>
    partsOf(local).some(
      ({ holding, doubtful }) => doubtful || idleOf(holding) > 0 || holding.offered > 0 || unreportedOf(holding) > 0,
    ),
  );

/** Units that a request has taken. */
class Taken implements LimitCharge {
  readonly kind = 'charged';
  readonly #leases: Leases;
  readonly #bundle: Bundle;
  readonly #charge: Charge;
  #open = true;

  constructor(leases: Leases, bundle: Bundle, charge: Charge) {
    this.#leases = leases;
    this.#bundle = bundle;
    this.#charge = charge;
  }

  views(): readonly LimitView[] {
    return this.#leases.views(this.#bundle);
  }

  spend(units: number = this.#charge.cost, excess: number = 0): void {
    if (!this.#open) return;
    this.#open = false;
    this.#leases.counts.excess.response += excess;
    this.#leases.settle(this.#bundle, this.#charge, Math.min(units, this.#charge.cost));
  }

  refund(): void {
    this.spend(0);
  }
}

/** What a request takes while the store does not answer and limits are open: booked when the store is back. */
class Overdrawn implements LimitCharge {
  readonly kind = 'charged';
  readonly #leases: Leases;
  readonly #bundle: Bundle;
  readonly #cost: number;
  #open = true;

  constructor(leases: Leases, bundle: Bundle, cost: number) {
    this.#leases = leases;
    this.#bundle = bundle;
    this.#cost = cost;
  }

  views(): readonly LimitView[] {
    return this.#leases.views(this.#bundle);
  }

  spend(units: number = this.#cost, excess: number = 0): void {
    if (!this.#open) return;
    this.#open = false;
    this.#leases.counts.excess.response += excess;
    this.#leases.settleOverdrawn(this.#bundle, Math.min(units, this.#cost));
  }

  refund(): void {
    this.spend(0);
  }
}
