import { noProofs, type Proofs } from '../core/constraint.ts';
import { findOurs, type Reading, readCredential, readFormCredential } from '../core/credential.ts';
import { awaitsProof, type Decision, decide, type Evidence, permitPublic, type Question } from '../core/decide.ts';
import { type Denial, deny } from '../core/decision.ts';
import { type Form, type MessageHead, readForm } from '../core/form.ts';
import { claimedFormBytes, type MountClaim } from '../core/mounts.ts';
import { type Preflight, readPreflight } from '../core/origin.ts';
import { type BodyReading, noBody, Parameters } from '../core/parameters.ts';
import { allowedMethods, commonMethods, type Match, type Route, type RouteTable } from '../core/route.ts';
import type { Clock } from '../ports/clock.ts';
import type { Connection } from '../ports/exchange.ts';
import type { ClientFacts } from '../ports/forwarder.ts';
import type { Mount } from '../ports/mount.ts';
import type { ProofQuestion, Prover } from '../ports/prover.ts';
import type { TokenLookup } from '../ports/token-lookup.ts';
import { bodyDenial, type Inspection, inspect } from './inspection.ts';
import type { Policy } from './policy.ts';

/** A request to be judged: an exchange, or one that somebody only asks about. */
export interface Asked {
  readonly head: MessageHead;
  readonly connection: Connection;
  readonly upgradable: boolean;
  /** The whole body; refused with `BodyFault` as the exchange's stream is. */
  readBody(limit: number): Promise<Uint8Array>;
  /** The same; null when it is over `most` bytes. It can still be read. */
  readShortBody(most: number): Promise<Uint8Array | null>;
  /** `100 Continue`. */
  writeContinue(): void;
  /** The token is named, not presented: this is known of it. */
  readonly named?: Evidence;
}

/** What the phases have found out about a request. */
export class Case {
  readonly asked: Asked;
  readonly policy: Policy;
  form: Form | null = null;
  client: ClientFacts | null = null;
  /** The token API whose it is, or might be. */
  mount: Mount | null = null;
  match: Match | null = null;
  route: Route | null = null;
  /** Once there was something to decide on. */
  question: Question | null = null;
  /** What was decided on it last. A denial that is another one is about the body. */
  decision: Decision | null = null;
  /** Something changed while the token was looked up: whether that was in the answer is not known. */
  inDoubt = false;

  constructor(asked: Asked, policy: Policy) {
    this.asked = asked;
    this.policy = policy;
  }
}

/** It is a token API's to answer. `form`: as the API is to see it. */
export interface Mounted {
  readonly kind: 'mounted';
  readonly mount: Mount;
  readonly form: Form;
}

export type Verdict = Decision | Mounted | { readonly kind: 'preflight'; readonly preflight: Preflight };

export interface JudgeParts {
  readonly lookup: TokenLookup;
  readonly prover: Prover;
  readonly clock: Clock;
  /** Our name in `Via`. */
  readonly instance: string;
}

/** A request that nothing is wrong with. */
interface WellFormed {
  readonly form: Form;
  readonly client: ClientFacts;
}

/** What was found of a request before its token was asked for. */
interface Opened extends WellFormed {
  readonly route: Route;
  readonly match: Extract<Match, { kind: 'route' }>;
}

/**
 * The judgment of a request, from its bytes to a permit or a denial, phase by phase. The gate acts on it, and
 * explanations are made of it: there is no second opinion.
 */
export class Judge {
  readonly #parts: JudgeParts;

  constructor(parts: JudgeParts) {
    this.#parts = parts;
  }

  /** At once where nothing has to be waited for: a token that is known, and no body that rules read. */
  judge(of: Case): Verdict | Promise<Verdict> {
    const formed = this.#formed(of);
    if ('kind' in formed) return formed;
    const claim = of.policy.mounts.claim(formed.form);
    switch (claim.kind) {
      case 'nobody':
        return this.#protected(of, formed);
      case 'mount':
        return mounted(of, claim.mount, claim.form);
      case 'body':
        return this.#claimed(of, formed, claim);
      case 'ambiguous':
        of.mount = claim.mount;
        return malformed('the path could be read as one of a token API');
    }
  }

  /** What is no token API's. */
  #protected(of: Case, formed: WellFormed): Verdict | Promise<Verdict> {
    const opened = this.#open(of, formed);
    if ('kind' in opened) return opened;
    const { form, route } = opened;
    const reading = of.asked.named === undefined ? readCredential(form, of.policy.places) : namedReading;
    if (reading.kind === 'ambiguous') return deny('ambiguous_credential', sentence(reading.why));
    const evidence = this.#evidence(of, reading);
    if (evidence === undefined || evidence instanceof Promise || needsBody(form, route)) {
      return this.#gather(of, opened, reading, evidence);
    }
    return this.#proved(of, opened, reading, evidence, bodyOf(form));
  }

  /** Its body tells whose a request is. What is nobody's goes on to the routes, and is read again there, as are larger ones. */
  async #claimed(of: Case, formed: WellFormed, { mounts }: Extract<MountClaim<Mount>, { kind: 'body' }>) {
    const { form } = formed;
    of.mount = mounts[0];
    let body: Uint8Array | null;
    try {
      if (form.expectsContinue) of.asked.writeContinue();
      body = await of.asked.readShortBody(claimedFormBytes);
    } catch (error) {
      const denial = bodyDenial(error);
      if (denial === null) throw error;
      return denial;
    }
    // What is no UTF-8 is the API's to refuse.
    const text = body === null ? null : Buffer.from(body).toString('utf8');
    const mount = text === null ? undefined : mounts.find(each => each.claimsForm(form, text));
    if (mount !== undefined) return mounted(of, mount, form);
    of.mount = null;
    return this.#protected(of, formed);
  }

  #formed(of: Case): WellFormed | Denial {
    const { asked, policy } = of;
    const reading = readForm(asked.head);
    if (!reading.ok) return deny(reading.fault.code, sentence(reading.fault.why));
    const { form } = reading;
    const client = policy.clients.factsOf(asked.connection, form);
    of.form = form;
    of.client = client;
    if (form.websocket && !asked.upgradable) return malformed('the upgrade is ambiguous');
    if (passedHere(form, this.#parts.instance)) {
      return deny('loop_detected', 'This request has passed through this proxy before.');
    }
    return { form, client };
  }

  /** A route that judges. Else how it ends. */
  #open(of: Case, { form, client }: WellFormed): Opened | Verdict {
    const { policy } = of;
    const match = matchRoute(policy.routes, form);
    of.match = match;
    const preflight = match.kind === 'route' || match.kind === 'method' ? readPreflight(form, match.leaf) : null;
    const odd = oddSpelling(form, preflight?.route ?? (match.kind === 'route' ? match.route : null));
    if (odd !== null && match.kind !== 'malformed') return malformed(odd);
    if (preflight !== null) {
      of.route = preflight.route;
      if (preflight.mode === 'answer') return { kind: 'preflight', preflight };
      return permitPublic(preflight.route, ours(policy, preflight.route, form));
    }
    if (match.kind !== 'route') return unmatched(match, form);
    const { route } = match;
    of.route = route;
    if (route.access === 'public') return permitPublic(route, ours(policy, route, form));
    return { form, client, route, match };
  }

  /** What is known of the presented token. Undefined: it has to be asked for. */
  #evidence({ asked, policy }: Case, reading: Reading): Evidence | undefined {
    if (asked.named !== undefined) return asked.named;
    if (reading.kind !== 'one') return { kind: 'none' };
    const secret = policy.secrets.read(reading.found.value);
    if (secret === null) return { kind: 'refused', cause: 'malformed' };
    return this.#parts.lookup.peek(secret);
  }

  /** Everything that has to be waited for. A token that is no good is refused before its body is read. */
  async #gather(of: Case, opened: Opened, reading: Reading, known: Evidence | undefined): Promise<Verdict> {
    const { lookup } = this.#parts;
    const { form, route } = opened;
    let { changes } = lookup;
    let evidence = known ?? (await this.#load(of, reading));
    let body = bodyOf(form);
    let whole = reading;
    if (needsBody(form, route)) {
      const early = this.#decide(of, this.#question(opened, reading, evidence, noBody, noProofs));
      const mayFollow = reading.kind === 'none' && of.policy.places.forms.size > 0;
      if (early.kind === 'denial' && isOfToken(early) && !mayFollow) return early;
      const inspected: Inspection = await inspect(of.asked, form, route);
      const subject = evidence.kind === 'found' ? evidence.subject : null;
      if (inspected.kind === 'refused') return { ...inspected.denial, subject };
      body = inspected.body;
      whole = readFormCredential(body, of.policy.places, reading);
      if (whole.kind === 'ambiguous') return deny('ambiguous_credential', sentence(whole.why), { subject });
      // Attack: a body that takes its time would be forwarded for a token that was revoked meanwhile.
      changes = lookup.changes;
      evidence = this.#evidence(of, whole) ?? (await this.#load(of, whole));
    }
    of.inDoubt = changes !== lookup.changes;
    return this.#proved(of, opened, whole, evidence, body);
  }

  /** Proofs last, where everything else holds: they may take work. At once where they take none. */
  #proved(
    of: Case,
    opened: Opened,
    reading: Reading,
    evidence: Evidence,
    body: BodyReading,
  ): Decision | Promise<Decision> {
    const question = this.#question(opened, reading, evidence, body, noProofs);
    if (!awaitsProof(question)) return this.#decide(of, question);
    const { lookup, clock } = this.#parts;
    const { guard } = of.policy;
    const { network } = opened.client;
    const proofs = this.#prove(question, network, underWay => guard.peek(network, underWay) > 0);
    const decided = (known: Proofs): Decision => this.#decide(of, { ...question, proofs: known, now: clock.wall() });
    if (!(proofs instanceof Promise)) return decided(proofs);
    const { changes } = lookup;
    return proofs.then(async known => {
      if (changes === lookup.changes) return decided(known);
      // What was known of the token may have changed meanwhile.
      const before = lookup.changes;
      const now = this.#evidence(of, reading) ?? (await this.#load(of, reading));
      of.inDoubt = before !== lookup.changes;
      return this.#proved(of, opened, reading, now, body);
    });
  }

  #load({ policy }: Case, reading: Reading): Promise<Evidence> {
    if (reading.kind !== 'one') return Promise.resolve({ kind: 'none' });
    const secret = policy.secrets.read(reading.found.value);
    if (secret === null) return Promise.resolve({ kind: 'refused', cause: 'malformed' });
    return this.#parts.lookup.load(secret);
  }

  #prove(
    { form, reading, evidence, now }: Question,
    network: string,
    heldBack: ProofQuestion['heldBack'],
  ): Proofs | Promise<Proofs> {
    if (evidence.kind !== 'found') return noProofs;
    return this.#parts.prover.prove({ subject: evidence.subject, form, reading, now, network, heldBack });
  }

  #question(
    { form, client, route, match }: Opened,
    reading: Reading,
    evidence: Evidence,
    body: BodyReading,
    proofs: Proofs,
  ): Question {
    const { rule, captures } = match;
    const parameters = new Parameters(form.target.query, body, form);
    const claim = rule.fixed ?? rule.claim(captures, parameters);
    return {
      form,
      route,
      reading,
      evidence,
      claim,
      parameters,
      proofs,
      client: client.address,
      origin: `${client.proto}://${client.host}`,
      now: this.#parts.clock.wall(),
    };
  }

  #decide(of: Case, question: Question): Decision {
    of.question = question;
    of.decision = decide(question);
    return of.decision;
  }

  /** What was asked, were it asked now: by the store, not by memory, and with the secrets that are taken now. */
  async again(question: Question, policy: Policy): Promise<Decision> {
    const { reading } = question;
    let { evidence } = question;
    if (reading.kind === 'one') {
      const secret = policy.secrets.read(reading.found.value);
      evidence = secret === null ? { kind: 'refused', cause: 'malformed' } : await this.#parts.lookup.ask(secret);
    }
    const asked = { ...question, evidence, now: this.#parts.clock.wall() };
    if (!awaitsProof(asked)) return decide(asked);
    // A signature is of the time at which it came: an answer that it has begun may outlive it.
    const proofs = await this.#prove({ ...asked, now: question.now }, question.client, () => false);
    return decide({ ...asked, proofs });
  }
}

function mounted(of: Case, mount: Mount, form: Form): Mounted {
  of.mount = mount;
  return { kind: 'mounted', mount, form };
}

/** A token that is only named is taken as if it stood in a field. */
const namedReading: Reading = { kind: 'one', found: { place: 'header', field: -1, value: '' } };

const hasBody = ({ framing }: Form): boolean =>
  framing.kind === 'chunked' || (framing.kind === 'length' && framing.length > 0);

const needsBody = (form: Form, route: Route): boolean => route.inspectBody !== null && hasBody(form);

const closed: BodyReading = { kind: 'closed' };
const bodyOf = (form: Form): BodyReading => (hasBody(form) ? closed : noBody);

/** Refused for what the token is, whatever the body says. */
const isOfToken = ({ code }: Denial): boolean =>
  code === 'missing_token' || code === 'invalid_token' || code === 'store_unavailable';

/** What is cut where nothing is judged: values of our own at configured places. */
function ours(policy: Policy, route: Route, form: Form) {
  if (route.forwardCredential) return [];
  return findOurs(form, policy.places, value => policy.secrets.isOurs(value));
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

export const sentence = (why: string): string => `${why.charAt(0).toUpperCase()}${why.slice(1)}.`;

/** Our own name in `Via`: the request has come round (RFC 9110 7.6.3). */
function passedHere({ fields, names }: Form, instance: string): boolean {
  for (let i = 0; i < names.length; i++) {
    if (names[i] !== 'via') continue;
    if (fields[2 * i + 1]!.split(',').some(hop => hop.trim().split(/[ \t]+/)[1] === instance)) return true;
  }
  return false;
}
