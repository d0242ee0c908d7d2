import { randomUUIDv7 } from 'node:crypto';
import { findOurs, readCredential } from '../core/credential.ts';
import { type Decision, decide, type Evidence, type Permit, permitPublic, type Question } from '../core/decide.ts';
import { type Denial, deny } from '../core/decision.ts';
import { type Form, type FormCode, readForm } from '../core/form.ts';
import { allowedOrigin, readPreflight } from '../core/origin.ts';
import { allowedMethods, commonMethods, type Match, type Route, type RouteTable } from '../core/route.ts';
import type { Clock } from '../ports/clock.ts';
import type { Connection, Exchange, WholeAnswer } from '../ports/exchange.ts';
import type { ClientFacts, Forwarder } from '../ports/forwarder.ts';
import type { Log } from '../ports/log.ts';
import type { Recorder } from '../ports/recorder.ts';
import type { TokenLookup } from '../ports/token-lookup.ts';
import { type Ending, endingOf, failureOf } from './ending.ts';
import { Passage } from './passage.ts';
import type { Policy } from './policy.ts';
import { type AnswerContext, denialAnswer, preflightAnswer, unparsedAnswer } from './respond.ts';

export interface GateParts {
  readonly lookup: TokenLookup;
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
  #inFlight = 0;
  #whenIdle: (() => void) | null = null;

  constructor(parts: GateParts, policy: Policy) {
    this.#parts = parts;
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
    const { exchange, policy } = passage;

    // Well formed.
    const reading = readForm(exchange.head);
    if (!reading.ok) return this.#refuse(passage, deny(reading.fault.code, `${sentence(reading.fault.why)}`));
    const { form } = reading;
    passage.form = form;
    passage.client = policy.clients.factsOf(exchange.connection, form);
    if (form.websocket && !exchange.upgradable) return this.#refuse(passage, malformed('the upgrade is ambiguous'));
    if (passedHere(form, this.#parts.instance)) {
      return this.#refuse(passage, deny('loop_detected', 'This request has passed through this proxy before.'));
    }

    // Route.
    const match = matchRoute(policy.routes, form);
    const preflight = match.kind === 'route' || match.kind === 'method' ? readPreflight(form, match.leaf) : null;
    const odd = oddSpelling(form, preflight?.route ?? (match.kind === 'route' ? match.route : null));
    if (odd !== null && match.kind !== 'malformed') return this.#refuse(passage, malformed(odd));
    if (preflight !== null) {
      passage.route = preflight.route;
      if (preflight.mode === 'answer') return this.#answer(passage, preflightAnswer(preflight, this.#context(passage)));
      return this.#forward(passage, permitPublic(preflight.route, this.#ours(passage, form)));
    }
    if (match.kind !== 'route') return this.#refuse(passage, unmatched(match, form));
    const { route } = match;
    passage.route = route;
    if (route.access === 'public') return this.#forward(passage, permitPublic(route, this.#ours(passage, form)));

    // Credential, and what is known of it: on a hit nothing is awaited.
    const credential = readCredential(form, policy.places);
    if (credential.kind === 'ambiguous') {
      return this.#refuse(passage, deny('ambiguous_credential', sentence(credential.why)));
    }
    let evidence: Evidence = { kind: 'none' };
    const { changes } = this.#parts.lookup;
    if (credential.kind === 'one') {
      const secret = policy.secrets.read(credential.found.value);
      if (secret === null) evidence = { kind: 'refused', cause: 'malformed' };
      else evidence = this.#parts.lookup.peek(secret) ?? (await this.#parts.lookup.load(secret));
    }

    // Decision.
    const origin = `${passage.client.proto}://${passage.client.host}`;
    const now = this.#parts.clock.wall();
    const question: Question = { form, route, reading: credential, evidence, origin, now };
    const decision = this.#guarded(passage, decide(question));
    if (decision.kind === 'denial') return this.#refuse(passage, decision);
    return this.#forward(passage, decision, question, changes !== this.#parts.lookup.changes);
  }

  /** What was asked, were it asked now: by the store, not by memory, and with the secrets that are taken now. */
  async #rejudge(question: Question): Promise<Decision> {
    const { reading } = question;
    let { evidence } = question;
    if (reading.kind === 'one') {
      const secret = this.policy.secrets.read(reading.found.value);
      evidence = secret === null ? { kind: 'refused', cause: 'malformed' } : await this.#parts.lookup.ask(secret);
    }
    return decide({ ...question, evidence, now: this.#parts.clock.wall() });
  }

  async #forward(passage: Passage, permit: Permit, question: Question | null = null, inDoubt = false): Promise<Ending> {
    const { exchange, form, client, requestId } = passage;
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
      rejudge: question === null ? null : () => this.#rejudge(question),
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
    if (decision.kind === 'permit' || decision.code !== 'invalid_token') return decision;
    const wait = passage.policy.guard.failed(passage.client?.network ?? passage.exchange.connection.peer);
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

  #context({ requestId, policy, form, route }: Passage): AnswerContext {
    const corsOrigin = form === null || route === null ? null : allowedOrigin(form, route.cors);
    return { requestId, realm: policy.realm, places: policy.places, corsOrigin, draining: this.draining };
  }

  #ours({ policy, route }: Passage, form: Form) {
    if (route?.forwardCredential) return [];
    return findOurs(form, policy.places, value => policy.secrets.isOurs(value));
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

function matchRoute(routes: RouteTable, form: Form): Match {
  // `OPTIONS *` and CONNECT name no path.
  return form.target.segments.length === 0 ? { kind: 'none' } : routes.match(form.host, form.method, form.target);
}

/** Odd spellings are only taken where the route that wins says so; elsewhere there is nothing to be found. */
function oddSpelling(form: Form, route: Route | null): string | null {
  const refused = form.target.needs.find(need => !route?.allow.has(need));
  return refused === undefined ? null : `the path has ${spelling[refused]}`;
}

const spelling = {
  encoded_slash: 'an encoded slash',
  encoded_percent: 'an encoded percent sign',
  semicolon: 'a semicolon',
  double_slash: 'a doubled slash',
} as const;

function unmatched(match: Exclude<Match, { kind: 'route' }>, form: Form): Denial {
  const never = form.method === 'CONNECT' || form.method === 'TRACE';
  if (match.kind === 'malformed') return malformed(match.why);
  if (match.kind === 'method') {
    return deny('method_not_allowed', `${form.method} is not allowed here.`, {
      allow: allowedMethods(match.leaf),
      close: never,
    });
  }
  if (never) return deny('method_not_allowed', `${form.method} is not allowed.`, { allow: commonMethods, close: true });
  return deny('no_route', 'No route matches this host and path.');
}

const malformed = (why: string): Denial => deny('malformed_request', sentence(why));

const sentence = (why: string): string => `${why.charAt(0).toUpperCase()}${why.slice(1)}.`;

/** Our own name in `Via`: the request has come round (RFC 9110 7.6.3). */
function passedHere({ fields, names }: Form, instance: string): boolean {
  for (let i = 0; i < names.length; i++) {
    if (names[i] !== 'via') continue;
    if (fields[2 * i + 1]!.split(',').some(hop => hop.trim().split(/[ \t]+/)[1] === instance)) return true;
  }
  return false;
}
