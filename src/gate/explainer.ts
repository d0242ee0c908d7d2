import { type Place, type Places, readCredential } from '../core/credential.ts';
import { type Evidence, isShadowed, type Permit } from '../core/decide.ts';
import type { Denial } from '../core/decision.ts';
import { type Explanation, explain } from '../core/explain.ts';
import { lowerNames } from '../core/fields.ts';
import { readForm } from '../core/form.ts';
import type { LimitView } from '../core/limit.ts';
import { denyCharge, limitNames } from '../core/limit-denial.ts';
import { readTarget } from '../core/target.ts';
import { compileSubject, type StoredToken } from '../core/token.ts';
import { StoreUnavailable } from '../errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { Decider, Presented, Recalled, Supposed } from '../ports/decider.ts';
import type { Limits } from '../ports/limits.ts';
import type { Prover } from '../ports/prover.ts';
import type { PresentedSecret } from '../ports/token-lookup.ts';
import type { TokenStore } from '../ports/token-store.ts';
import { RequestBodyFault } from './body.ts';
import { type Decisions, mostDecisions } from './decisions.ts';
import { factsOf } from './facts.ts';
import { type Asked, Case, Judge } from './judge.ts';
import type { Policy } from './policy.ts';
import { settle } from './settle.ts';

/** Fields in which people put credentials, whatever is configured. */
const credentialFields = new Set(['authorization', 'proxy-authorization', 'cookie', 'sec-websocket-protocol']);

export interface ExplainerParts {
  /** What a look-up of the gate would find now, without a trace. */
  readonly consider: (secret: PresentedSecret) => Promise<Evidence>;
  readonly store: Pick<TokenStore, 'getToken' | 'getOwner'>;
  /** Tokens of the configuration, by id. */
  readonly declared: () => ReadonlyMap<string, StoredToken>;
  readonly prover: Prover;
  readonly limits: Pick<Limits, 'weigh'>;
  readonly clock: Clock;
  readonly instance: string;
  readonly policy: () => Policy;
  readonly decisions: Decisions;
}

/** Judges requests that are only asked about, with the gate's own judge. */
export class Explainer implements Decider {
  readonly kept = mostDecisions;
  readonly #parts: ExplainerParts;
  readonly #judge: Judge;

  constructor(parts: ExplainerParts) {
    this.#parts = parts;
    const { consider, prover, clock, instance } = parts;
    const lookup = { peek: () => undefined, load: consider, ask: consider, changes: 0 };
    this.#judge = new Judge({ lookup, prover, clock, instance });
  }

  async explain(presented: Presented, request: Supposed): Promise<Explanation | null> {
    const policy = this.#parts.policy();
    const named = presented.kind === 'id' ? await this.#evidence(presented.tokenId) : undefined;
    if (named === null) return null;
    const secret = presented.kind === 'secret' ? presented.secret : null;
    const supposed = secret === null ? request : withSecret(request, policy.places, secret);
    const asked = askedOf(supposed, policy, named);
    const of = new Case(asked, policy);
    const settled = settle(of, await this.#judge.judge(of), network => policy.guard.peek(network));
    const { verdict, forwarding } = settled;
    const weighed = verdict.kind === 'permit' ? await this.#weigh(verdict) : null;
    const spent = weighed?.denial ?? null;
    const isLet = spent !== null && of.question !== null && isShadowed(spent, of.question);
    const refused = verdict.kind === 'denial' ? verdict : isLet ? null : spent;
    const shadowed = settled.shadowed ?? (isLet ? spent : null);
    const facts = factsOf(of, {
      denial: refused ?? shadowed,
      shadowed: refused === null && shadowed !== null,
      forwarding,
      limits: weighed?.limits ?? null,
      at: this.#parts.clock.wall(),
    });
    const explanation = explain(facts);
    return verdict.kind === 'preflight' ? { ...explanation, status: 204 } : explanation;
  }

  /** What of the limits a charge would leave, or why it would be refused. Null: nothing is to be charged. */
  async #weigh({
    subject,
    route,
  }: Permit): Promise<{ limits: readonly LimitView[] | null; denial: Denial | null } | null> {
    const cost = route.cost.units;
    if (subject === null || cost === 0 || limitNames(subject).length === 0) return null;
    try {
      const { limits, refusal } = await this.#parts.limits.weigh(subject, cost);
      return { limits, denial: refusal === null ? null : denyCharge(subject, cost, refusal) };
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      return { limits: null, denial: denyCharge(subject, cost, { kind: 'unavailable' }) };
    }
  }

  carries(request: Supposed): 'nothing' | 'credentials' | 'token' {
    const { places } = this.#parts.policy();
    const form = readForm(askedOf(request, this.#parts.policy()).head);
    if (form.ok && readCredential(form.form, places).kind !== 'none') return 'token';
    const names = lowerNames(request.headers);
    const inFields = names.some(name => credentialFields.has(name) || places.headers.has(name));
    // A form can be spelled in more ways than are worth telling apart here, and so can what is malformed.
    const inBody = request.body !== null && places.forms.size > 0;
    const inQuery = !form.ok && places.queries.size > 0 && request.target.includes('?');
    return inFields || inBody || inQuery ? 'credentials' : 'nothing';
  }

  decision(requestId: string): Recalled | null {
    return this.#parts.decisions.recall(requestId);
  }

  /** What is known of a token by its id; null: there is none. */
  async #evidence(id: string): Promise<Evidence | null> {
    const { store, declared } = this.#parts;
    const token = declared().get(id) ?? (await store.getToken(id))?.token;
    if (token === undefined) return null;
    const owner = token.owner === null ? null : await store.getOwner(token.owner);
    const subject = compileSubject(token, owner?.account ?? null, owner?.roles ?? [], token.digest);
    return { kind: 'found', subject };
  }
}

function askedOf({ method, target, headers, body, peer }: Supposed, policy: Policy, named?: Evidence): Asked {
  const names = lowerNames(headers);
  const bytes = Buffer.from(body ?? '', 'utf8');
  const fields = [...headers];
  if (!names.includes('host')) fields.unshift('Host', hostFor(policy, method, target));
  const framed = names.includes('content-length') || names.includes('transfer-encoding');
  if (body !== null && !framed) fields.push('Content-Length', String(bytes.length));
  return {
    head: { method, target, version: '1.1', fields },
    connection: { peer, port: 0, localPort: 0, tls: false },
    upgradable: names.includes('upgrade'),
    readBody: limit => (bytes.length > limit ? Promise.reject(new RequestBodyFault('large')) : Promise.resolve(bytes)),
    writeContinue: () => {},
    ...(named !== undefined && { named }),
  };
}

/** A Host under which some route takes the request; where none does, any. */
function hostFor({ routes }: Policy, method: string, target: string): string {
  const reading = readTarget(target);
  const hosts = new Set([
    'localhost',
    ...routes.routes.flatMap(route => route.hosts.map(host => host.replace(/^\*/, 'any'))),
  ]);
  if (!reading.ok) return 'localhost';
  for (const host of hosts) if (routes.match(host, method, reading.target).kind === 'route') return host;
  return 'localhost';
}

/** The request with the secret at the first place that a head has, or else in a form. */
function withSecret(request: Supposed, { all }: Places, secret: string): Supposed {
  const place = all.find(({ kind }) => kind !== 'form') ?? all[0];
  return place === undefined ? request : placed(request, place, secret);
}

function placed(request: Supposed, place: Place, secret: string): Supposed {
  const field = (name: string, value: string): Supposed => ({ ...request, headers: [...request.headers, name, value] });
  const pair = (name: string): string => `${encodeURIComponent(name)}=${encodeURIComponent(secret)}`;
  switch (place.kind) {
    case 'header':
      return field(place.name, place.scheme === null ? secret : `${place.scheme} ${secret}`);
    case 'cookie':
      return field('Cookie', `${place.name}=${secret}`);
    case 'websocket_protocol':
      return field('Sec-WebSocket-Protocol', `${place.prefix}${secret}`);
    case 'query':
      return { ...request, target: `${request.target}${request.target.includes('?') ? '&' : '?'}${pair(place.name)}` };
    case 'form':
      return { ...request, body: request.body === null ? pair(place.name) : `${request.body}&${pair(place.name)}` };
  }
}
