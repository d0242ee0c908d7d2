import { randomUUIDv7 } from 'node:crypto';
import type { Decision, Permit } from '../core/decide.ts';
import { type Denial, deny } from '../core/decision.ts';
import type { FormCode } from '../core/form.ts';
import { allowedOrigin } from '../core/origin.ts';
import type { Clock } from '../ports/clock.ts';
import type { Connection, Exchange, WholeAnswer } from '../ports/exchange.ts';
import type { ClientFacts, Forwarder } from '../ports/forwarder.ts';
import type { Log } from '../ports/log.ts';
import type { Prover } from '../ports/prover.ts';
import type { Recorder } from '../ports/recorder.ts';
import type { TokenLookup } from '../ports/token-lookup.ts';
import { type Ending, endingOf, failureOf } from './ending.ts';
import { Judge, sentence } from './judge.ts';
import { Passage } from './passage.ts';
import type { Policy } from './policy.ts';
import { type AnswerContext, denialAnswer, preflightAnswer, unparsedAnswer } from './respond.ts';

export interface GateParts {
  readonly lookup: TokenLookup;
  readonly prover: Prover;
  readonly forwarder: Forwarder;
  readonly recorder: Recorder;
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
  policy: Policy;
  /** Answers carry `Connection: close`. */
  draining = false;
  readonly #parts: GateParts;
  readonly #judge: Judge;
  #inFlight = 0;
  #whenIdle: (() => void) | null = null;

  constructor(parts: GateParts, policy: Policy) {
    this.#parts = parts;
    this.#judge = new Judge(parts);
    this.policy = policy;
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
    this.#parts.recorder.record(passage.record(ending, this.#parts.clock));
    if (--this.#inFlight === 0) this.#whenIdle?.();
  }

  async #pass(passage: Passage): Promise<Ending> {
    const judged = this.#judge.judge(passage.case);
    // On a hit nothing is awaited.
    const verdict = judged instanceof Promise ? await judged : judged;
    if (verdict.kind === 'preflight') {
      return this.#answer(passage, preflightAnswer(verdict.preflight, this.#context(passage)));
    }
    const decision = this.#guarded(passage, verdict);
    return decision.kind === 'denial' ? this.#refuse(passage, decision) : this.#forward(passage, decision);
  }

  async #forward(passage: Passage, permit: Permit): Promise<Ending> {
    const { exchange, requestId } = passage;
    const { form, client, question, inDoubt } = passage.case;
    const { route } = permit;
    passage.subject = permit.subject;
    passage.decided(this.#parts.clock);
    if (form === null || client === null) throw new Error('a permit without a request');
    const { framing } = form;
    if (route.maxBody !== null && framing.kind === 'length' && framing.length > route.maxBody) {
      const { subject } = permit;
      return this.#refuse(passage, deny('body_too_large', `The body is over ${route.maxBody} bytes.`, { subject }));
    }
    const corsOrigin = route.cors?.preflight === 'answer' ? allowedOrigin(form, route.cors) : null;
    const draining = this.draining;
    const forwarded = await this.#parts.forwarder.forward(permit, {
      exchange,
      form,
      requestId,
      client,
      draining,
      corsOrigin,
      rejudge: question === null ? null : () => this.#judge.again(question, this.policy),
      inDoubt,
    });
    if (forwarded.outcome === 'failed' && !exchange.answered) {
      const denial = failureOf(forwarded, this.draining);
      exchange.answer(denialAnswer(denial, this.#context(passage)));
      return endingOf(forwarded, permit, denial);
    }
    return endingOf(forwarded, permit, null);
  }

  /** Failed credentials count against their network; beyond the bound they are told to wait instead. */
  #guarded(passage: Passage, decision: Decision): Decision {
    const { guard } = passage.case.policy;
    const network = passage.case.client?.network ?? passage.exchange.connection.peer;
    if (decision.kind === 'permit') {
      // What shadow mode lets through is a guess all the same.
      if (decision.shadowed?.guessed === true) guard.failed(network);
      return decision;
    }
    if (decision.code === 'too_many_failures') return { ...decision, retryAfter: Math.max(1, guard.waits(network)) };
    if (decision.code !== 'invalid_token' && decision.guessed !== true) return decision;
    const wait = guard.failed(network);
    if (wait === 0) return decision;
    const detail = 'Too many failed credentials from this network.';
    return deny('too_many_failures', detail, { retryAfter: wait, subject: decision.subject });
  }

  #refuse(passage: Passage, denial: Denial): Ending {
    passage.subject = denial.subject;
    passage.denial = denial;
    passage.decided(this.#parts.clock);
    const gone = passage.exchange.answered;
    passage.exchange.answer(denialAnswer(denial, this.#context(passage)));
    const { code, reason } = denial;
    return { kind: 'refused', code, reason, gone };
  }

  #answer(passage: Passage, answer: WholeAnswer): Ending {
    passage.decided(this.#parts.clock);
    passage.exchange.answer(answer);
    return { kind: 'answered', status: answer.status };
  }

  #context({ requestId, case: { policy, form, route } }: Passage): AnswerContext {
    const corsOrigin = form === null || route === null ? null : allowedOrigin(form, route.cors);
    return { requestId, realm: policy.realm, places: policy.places, corsOrigin, draining: this.draining };
  }

  /** Answers and records what never became a request. */
  unparsed(code: FormCode, why: string, connection: Connection, arrivedAt: number): WholeAnswer {
    const requestId = randomUUIDv7();
    const client: ClientFacts = this.policy.clients.factsOf(connection, null);
    const { clock, recorder } = this.#parts;
    const answer = unparsedAnswer(code, sentence(why), requestId);
    recorder.record(Passage.unparsed(requestId, code, client, connection, arrivedAt, answer, clock));
    return answer;
  }
}
