import { randomUUIDv7 } from 'node:crypto';
import { isInShadow, isShadowed, type Permit } from '../core/decide.ts';
import { type Denial, deny } from '../core/decision.ts';
import type { FormCode } from '../core/form.ts';
import { denyCharge } from '../core/limit-denial.ts';
import { allowedOrigin } from '../core/origin.ts';
import { rateLimitFields } from '../core/rate-limit-fields.ts';
import { subjectFault } from '../core/token.ts';
import type { Clock } from '../ports/clock.ts';
import type { Connection, Exchange, WholeAnswer } from '../ports/exchange.ts';
import type { ClientFacts, Forwarder, Journey } from '../ports/forwarder.ts';
import type { LimitCharge, LimitRefusal, Limits } from '../ports/limits.ts';
import type { Log } from '../ports/log.ts';
import type { Prover } from '../ports/prover.ts';
import type { Recorder } from '../ports/recorder.ts';
import type { TokenLookup } from '../ports/token-lookup.ts';
import { MountConnections } from '../wire/mount-connections.ts';
import type { Decisions } from './decisions.ts';
import { type Ending, endingOf, failureOf } from './ending.ts';
import { factsOf, factsOfUnparsed } from './facts.ts';
import { Judge, type Mounted, sentence } from './judge.ts';
import { Passage } from './passage.ts';
import type { Policy } from './policy.ts';
import { type AnswerContext, denialAnswer, preflightAnswer, unparsedAnswer } from './respond.ts';
import { settle } from './settle.ts';
import { askMount, mountAnswer } from './token-apis.ts';

export interface GateParts {
  readonly lookup: TokenLookup;
  readonly prover: Prover;
  readonly limits: Limits;
  readonly forwarder: Forwarder;
  readonly recorder: Recorder;
  readonly decisions: Decisions;
  readonly clock: Clock;
  readonly log: Log;
  /** Our name in `Via`. */
  readonly instance: string;
}

/**
 * The request path. `pass` is the story of a request, phase by phase; each phase either goes on or ends it, and
 * `handle` records how it ended, once.
 */
export class Gate {
  /** Answers carry `Connection: close`. */
  draining = false;
  readonly #parts: GateParts;
  readonly #judge: Judge;
  readonly #connections = new MountConnections();
  #policy: Policy;
  #inFlight = 0;
  #whenIdle: (() => void) | null = null;

  constructor(parts: GateParts, policy: Policy) {
    this.#parts = parts;
    this.#judge = new Judge(parts);
    this.#policy = policy;
  }

  get policy(): Policy {
    return this.#policy;
  }

  /** Holds for requests to come. Connections of token APIs that are mounted no more are closed. */
  set policy(policy: Policy) {
    this.#policy = policy;
    this.#connections.close(policy.mounts.all);
  }

  /** Ends connections that token APIs have taken over. */
  closeConnections(): void {
    this.#connections.close([]);
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Waits until nothing is in flight; false when that took longer than `ms`. */
  idle(ms: number): Promise<boolean> {
    if (this.#inFlight === 0) return Promise.resolve(true);
    return new Promise(resolve => {
      const timer = setTimeout(() => {
        this.#whenIdle = null;
        resolve(false);
      }, ms);
      this.#whenIdle = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  /** Takes one exchange to its end. Never rejects: a fault of ours is an answer too. */
  async handle(exchange: Exchange): Promise<void> {
    const passage = new Passage(exchange, this.policy, randomUUIDv7());
    this.#inFlight++;
    let ending: Ending;
    try {
      ending = await this.#pass(passage);
    } catch (error) {
      this.#parts.log.fault(error, 'a request failed in the gate');
      if (exchange.answered) exchange.abort();
      else this.#refuse(passage, deny('internal_error', 'The request could not be handled.'));
      ending = { kind: 'refused', code: 'internal_error', reason: 'internal_error', gone: false };
    }
    passage.charge?.refund();
    this.#parts.recorder.record(passage.record(ending, this.#parts.clock));
    if (--this.#inFlight === 0) this.#whenIdle?.();
  }

  async #pass(passage: Passage): Promise<Ending> {
    const judged = this.#judge.judge(passage.case);
    // On a hit nothing is awaited.
    const verdict = judged instanceof Promise ? await judged : judged;
    const { guard } = passage.case.policy;
    const settled = settle(passage.case, verdict, network => guard.failed(network));
    passage.shadowed = settled.shadowed;
    switch (settled.verdict.kind) {
      case 'preflight':
        return this.#answer(passage, preflightAnswer(settled.verdict.preflight, this.#context(passage)));
      case 'mounted':
        return this.#mounted(passage, settled.verdict);
      case 'denial':
        this.#keep(passage, settled.verdict, settled.forwarding);
        return this.#refuse(passage, settled.verdict);
      case 'permit': {
        // Nothing is charged before the permission holds.
        const charged = this.#charge(passage, settled.verdict);
        const denial = charged instanceof Promise ? await charged : charged;
        if (denial !== null) {
          this.#keep(passage, denial, false);
          return this.#refuse(passage, denial);
        }
        if (passage.shadowed !== null) this.#keep(passage, null, false);
        return this.#forward(passage, settled.verdict);
      }
    }
  }

  /** Null: it may go on. At once where units are held for it. */
  #charge(passage: Passage, permit: Permit): Denial | null | Promise<Denial | null> {
    const { subject, route } = permit;
    if (subject === null) return null;
    const charged = this.#parts.limits.charge(subject, route.cost.units, passage.exchange);
    if (charged === null) return null;
    return charged instanceof Promise ? this.#awaited(passage, permit, charged) : this.#taken(passage, permit, charged);
  }

  #taken(passage: Passage, { subject, route }: Permit, charged: LimitCharge | LimitRefusal): Denial | null {
    if (charged.kind === 'charged') {
      passage.charge = charged;
      return null;
    }
    const denial = denyCharge(subject!, route.cost.units, charged);
    const { question } = passage.case;
    if (question === null || !isShadowed(denial, question)) return denial;
    passage.shadowed ??= denial;
    return null;
  }

  /** Attack: what waits for units would be forwarded for a token that was revoked meanwhile. */
  async #awaited(
    passage: Passage,
    permit: Permit,
    waiting: Promise<LimitCharge | LimitRefusal>,
  ): Promise<Denial | null> {
    const { lookup, clock } = this.#parts;
    const { changes } = lookup;
    const charged = await waiting;
    const { question } = passage.case;
    const isOld = changes !== lookup.changes || subjectFault(permit.subject!, clock.wall()) !== null;
    if (charged.kind === 'charged' && isOld && question !== null) {
      const again = await this.#judge.again(question, this.policy);
      if (again.kind === 'denial') {
        charged.refund();
        passage.case.decision = again;
        return again;
      }
    }
    return this.#taken(passage, permit, charged);
  }

  async #mounted(passage: Passage, mounted: Mounted): Promise<Ending> {
    const { exchange, requestId } = passage;
    const reply = await askMount(passage, mounted);
    switch (reply.kind) {
      case 'denial':
        this.#keep(passage, reply, false);
        return this.#refuse(passage, reply);
      case 'answer':
        return this.#answer(passage, mountAnswer(reply.answer, requestId, this.draining));
      case 'connection': {
        passage.decided(this.#parts.clock);
        if (exchange.answered) return { kind: 'answered', status: 101, gone: true, tunnelled: null };
        // A reload may have taken it away while it was asked, and has closed those of its connections that were open.
        if (!this.policy.mounts.all.includes(mounted.mount)) {
          return this.#refuse(passage, deny('no_route', 'No route matches this host and path.'));
        }
        const { socket, head } = exchange.switchProtocols(reply.fields);
        const tunnelled = await this.#connections.run(mounted.mount, reply.connection, socket, head);
        return { kind: 'answered', status: 101, gone: false, tunnelled };
      }
    }
  }

  async #forward(passage: Passage, permit: Permit): Promise<Ending> {
    const { exchange, requestId } = passage;
    const { form, client, question, inDoubt } = passage.case;
    const { route } = permit;
    passage.permitted = permit;
    // The answer may be endless, and what was read of the body takes many times its bytes.
    question?.parameters.release();
    // Whoever presented it is known, also where shadow mode lets it pass as nobody.
    passage.subject = permit.subject ?? permit.shadowed?.subject ?? null;
    passage.decided(this.#parts.clock);
    if (form === null || client === null) throw new Error('a permit without a request');
    const corsOrigin = route.cors?.preflight === 'answer' ? allowedOrigin(form, route.cors) : null;
    const draining = this.draining;
    const limitFields = this.#toldOf(passage, permit);
    const journey: Journey = {
      exchange,
      form,
      requestId,
      client,
      draining,
      corsOrigin,
      limitFields,
      rejudge: question === null ? null : () => this.#judge.again(question, this.policy),
      inDoubt,
      charge: passage.charge,
    };
    const forwarded = await this.#parts.forwarder.forward(permit, journey);
    // What was not spent by now was never sent.
    passage.charge?.refund();
    if (forwarded.outcome === 'failed' && !exchange.answered) {
      const denial = failureOf(forwarded, this.draining);
      this.#keep(passage, denial, true);
      exchange.answer(denialAnswer(denial, this.#context(passage, limitFields?.())));
      return endingOf(forwarded, permit, denial);
    }
    return endingOf(forwarded, permit, null);
  }

  /** Who is in shadow mode is bound by no limit, and told of none: clients slow down for what they are told. */
  #toldOf(passage: Passage, { subject }: Permit): Journey['limitFields'] {
    const { question, policy } = passage.case;
    const { charge } = passage;
    if (charge === null || subject === null || policy.rateLimit === 'none') return null;
    if (question !== null && isInShadow(question)) return null;
    return () => rateLimitFields(charge.views(), policy.rateLimit, this.#parts.clock.wall(), subject);
  }

  /** For whoever asks why. `denial` null: shadow mode lets it through. */
  #keep(passage: Passage, denial: Denial | null, forwarding: boolean): void {
    const at = this.#parts.clock.wall();
    const { shadowed } = passage;
    const fate = { denial: denial ?? shadowed, shadowed: denial === null, forwarding, at };
    this.#parts.decisions.keep(passage.requestId, at, factsOf(passage.case, fate));
  }

  #refuse(passage: Passage, denial: Denial): Ending {
    passage.subject = denial.subject;
    passage.denial = denial;
    passage.decided(this.#parts.clock);
    const gone = passage.exchange.answered;
    const { code, reason, limits, subject } = denial;
    const limitFields =
      limits === undefined || subject === null
        ? []
        : rateLimitFields(limits, passage.case.policy.rateLimit, this.#parts.clock.wall(), subject);
    passage.exchange.answer(denialAnswer(denial, this.#context(passage, limitFields)));
    return { kind: 'refused', code, reason, gone };
  }

  #answer(passage: Passage, answer: WholeAnswer): Ending {
    passage.decided(this.#parts.clock);
    const gone = passage.exchange.answered;
    passage.exchange.answer(answer);
    return { kind: 'answered', status: answer.status, gone, tunnelled: null };
  }

  #context({ requestId, case: { policy, form, route } }: Passage, limitFields: readonly string[] = []): AnswerContext {
    const corsOrigin = form === null || route === null ? null : allowedOrigin(form, route.cors);
    return {
      requestId,
      realm: policy.realm,
      places: policy.places,
      corsOrigin,
      draining: this.draining,
      limitFields,
    };
  }

  /** Answers and records what never became a request. */
  unparsed(code: FormCode, why: string, connection: Connection, arrivedAt: number): WholeAnswer & { body: string } {
    const requestId = randomUUIDv7();
    const client: ClientFacts = this.policy.clients.factsOf(connection, null);
    const { clock, recorder, decisions } = this.#parts;
    const answer = unparsedAnswer(code, sentence(why), requestId);
    const at = clock.wall();
    decisions.keep(requestId, at, factsOfUnparsed(deny(code, sentence(why)), this.policy, client.address, at));
    recorder.record(Passage.unparsed(requestId, code, client, connection, arrivedAt, answer, clock));
    return answer;
  }
}
