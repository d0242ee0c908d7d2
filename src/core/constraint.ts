import type { Code } from '../errors.ts';
import { readBasic } from './basic.ts';
import type { Found } from './credential.ts';
import type { Question } from './decide.ts';
import { single } from './fields.ts';
import { inNetworks, type Network, readNetwork } from './network.ts';
import { PathPattern } from './path-pattern.ts';

/**
 * Where, how and for what a token may be used. As it is kept: passwords are hashes, and the key of signatures is sealed.
 * A member that is absent asks for nothing.
 */
export interface Constraints {
  /** CIDR blocks, or addresses. */
  readonly networks?: readonly string[];
  readonly methods?: readonly string[];
  /** Patterns as those of routes. */
  readonly paths?: readonly string[];
  /** Parameters, and the value that each must have. */
  readonly params?: Readonly<Record<string, string>>;
  readonly origins?: readonly string[];
  /** Requests must be signed; the key of the HMAC under AES-256-GCM. */
  readonly signature?: { readonly sealed: string };
  /** Users, and the scrypt hash of each one's password (PHC string format). */
  readonly basic?: Readonly<Record<string, string>>;
}

/** In the order in which they are held against a request: what costs work comes last. */
export const constraintNames = ['networks', 'methods', 'paths', 'params', 'origins', 'signature', 'basic'] as const;

/** What each of them asks of a request, and what it is refused with: in words, for documentation. */
export const constraintWords: Readonly<Record<(typeof constraintNames)[number], readonly [asks: string, code: Code]>> =
  {
    networks: ['the client has one of these addresses, or is in one of these networks', 'constraint_failed'],
    methods: ['its method is one of these, exactly: GET is not HEAD', 'constraint_failed'],
    paths: ['its path matches one of these patterns, as it would match a route', 'constraint_failed'],
    params: ['each of these parameters is there, once, and is this, in every call of a batch', 'constraint_failed'],
    origins: ['its `Origin` is one of these', 'constraint_failed'],
    signature: ['it is signed with the key of the token', 'constraint_failed'],
    basic: ['Basic credentials of one of these users stand beside the token', 'basic_required'],
  };

/** Ready to be held against a request: made once for each version of a token. */
export interface CompiledConstraints {
  readonly source: Constraints;
  /** It takes work outside of the decision to tell (`Proofs`). */
  readonly needsProof: boolean;
  readonly networks: readonly Network[] | null;
  readonly methods: ReadonlySet<string> | null;
  readonly paths: readonly PathPattern[] | null;
  readonly params: readonly (readonly [name: string, value: string])[];
  readonly origins: ReadonlySet<string> | null;
  /** What is kept asks for something that is not understood here: nothing keeps it. */
  readonly unreadable: boolean;
}

/** Facts about a request that are computed before the decision. Null: not asked for. */
export interface Proofs {
  readonly signature: 'good' | 'missing' | 'ambiguous' | 'wrong' | 'expired' | 'unverifiable' | null;
  /** `held`: nothing was tried, because the client's network has failed too often. */
  readonly basic: 'good' | 'missing' | 'ambiguous' | 'wrong' | 'busy' | 'held' | null;
}

export const noProofs: Proofs = { signature: null, basic: null };

/** A constraint that a request breaks. */
export interface Breach {
  readonly constraint: (typeof constraintNames)[number] | null;
  readonly code: Extract<
    Code,
    | 'constraint_failed'
    | 'basic_required'
    | 'unsupported_media'
    | 'malformed_request'
    | 'ambiguous_credential'
    | 'too_many_failures'
    | 'overloaded'
  >;
  /** For the client: never what would have been right. */
  readonly detail: string;
  /** For whoever asks why: what was held against what. */
  readonly compared: Readonly<Record<string, unknown>>;
  /** A password was tried that is not right. */
  readonly guessed?: true;
  /** Seconds. */
  readonly retryAfter?: number;
}

/** Null when nothing is asked for. */
export function compileConstraints(source: Constraints): CompiledConstraints | null {
  const said = Object.keys(source);
  if (said.length === 0) return null;
  const { networks, methods, paths, params, origins, signature, basic } = source;
  const known = said.every(
    name => (constraintNames as readonly string[]).includes(name) && source[name as keyof Constraints] !== null,
  );
  try {
    return {
      source,
      needsProof: signature !== undefined || basic !== undefined,
      networks: networks?.map(networkOf) ?? null,
      methods: setOf(methods),
      paths: paths?.map(pattern => new PathPattern(pattern)) ?? null,
      params: Object.entries(params ?? {}),
      origins: setOf(origins),
      unreadable: !known,
    };
  } catch {
    // A newer version may have written it, or somebody by hand: what it asks for cannot be told from here.
    const nothing = { networks: null, methods: null, paths: null, params: [], origins: null };
    return { source, needsProof: false, ...nothing, unreadable: true };
  }
}

function networkOf(text: string): Network {
  const network = readNetwork(text);
  if (typeof network === 'string') throw new Error(`${text} ${network}`);
  return network;
}

const setOf = (list: readonly string[] | undefined): ReadonlySet<string> | null =>
  list === undefined ? null : new Set(list);

/** What a request is held against before anything is worked out for it. */
export type Facts = Pick<Question, 'form' | 'reading' | 'parameters' | 'client'>;

/** The first constraint that the request breaks; null when it keeps them all. */
export const breachOf = (constraints: CompiledConstraints, question: Facts & Pick<Question, 'proofs'>): Breach | null =>
  plainBreachOf(constraints, question) ?? proofBreachOf(constraints, question.proofs);

/** The first of those that the request alone tells. One that is broken makes proofs a waste of work. */
export function plainBreachOf(constraints: CompiledConstraints, facts: Facts): Breach | null {
  const { source, networks, methods, paths, origins, unreadable } = constraints;
  const { form, client } = facts;
  if (unreadable) return failed(null, 'The constraints of the token cannot be read.', {});
  if (networks !== null && !inNetworks(client, networks)) {
    const compared = { client, networks: source.networks };
    return failed('networks', 'The token is not taken from this address.', compared);
  }
  if (methods !== null && !methods.has(form.method)) {
    const compared = { method: form.method, methods: source.methods };
    return failed('methods', 'The token is not taken with this method.', compared);
  }
  if (paths !== null && !paths.some(path => path.matches(form.target.segments))) {
    return failed('paths', 'The token is not taken on this path.', { path: form.target.path, paths: source.paths });
  }
  const param = paramBreachOf(constraints, facts);
  if (param !== null) return param;
  if (origins !== null) {
    const origin = single(form.fields, form.names, 'origin');
    if (origin == null || !origins.has(origin)) {
      const compared = { origin: origin ?? null, origins: source.origins };
      return failed('origins', 'The token is not taken from this Origin, or from none.', compared);
    }
  }
  return null;
}

/** Each parameter stands in every call of a batch, once, and is what it must be. */
function paramBreachOf({ params }: CompiledConstraints, { parameters }: Facts): Breach | null {
  const constraint = 'params';
  for (const [name, value] of params) {
    const { first, other } = parameters.readEvery(name);
    const isFirst = other === null || first.kind !== 'value' || first.value !== value;
    const { call, reading } = isFirst ? { call: 0, reading: first } : other;
    const compared = { parameter: name, value, call, found: reading.kind };
    switch (reading.kind) {
      case 'value':
        if (reading.value === value) break;
        return failed(constraint, 'The token is not taken with these parameters.', {
          ...compared,
          found: reading.value.slice(0, mostShown),
        });
      case 'absent':
        return failed(constraint, 'The token is not taken with these parameters.', compared);
      case 'ambiguous': {
        const detail = 'A parameter that a constraint of the token reads is ambiguous.';
        return { constraint, code: 'malformed_request', detail, compared };
      }
      case 'closed': {
        const detail = 'A constraint of the token reads parameters, and this body cannot be read.';
        return { constraint, code: 'unsupported_media', detail, compared };
      }
    }
  }
  return null;
}

/** Most characters of a value of the client's that are told. */
const mostShown = 256;

/** Where something is asked for and nothing was proved, it does not hold. */
function proofBreachOf({ source }: CompiledConstraints, { signature, basic }: Proofs): Breach | null {
  if (source.signature !== undefined && signature !== 'good') {
    const constraint = 'signature';
    const compared = { signature };
    if (signature === 'ambiguous') {
      const detail = 'The parameters of the signature are ambiguous.';
      return { constraint, code: 'malformed_request', detail, compared };
    }
    return failed(constraint, signatureDetails[signature ?? 'unverifiable'], compared);
  }
  if (source.basic !== undefined && basic !== 'good') {
    const compared = { basic };
    const breach = (code: Breach['code'], detail: string, more: Partial<Breach> = {}): Breach => ({
      constraint: 'basic',
      code,
      detail,
      compared,
      ...more,
    });
    switch (basic) {
      case 'ambiguous':
        return breach('ambiguous_credential', 'The Basic credentials are ambiguous.');
      case 'busy':
        return breach('overloaded', 'Too many passwords are being checked.', { retryAfter: 1 });
      case 'held':
        return breach('too_many_failures', 'Too many failed credentials from this network.');
      case 'wrong':
        return breach('basic_required', 'The token needs Basic credentials beside it.', { guessed: true });
      default:
        return breach('basic_required', 'The token needs Basic credentials beside it.');
    }
  }
  return null;
}

const signatureDetails = {
  missing: 'The token needs a signed request.',
  wrong: 'The signature of the request is not right.',
  expired: 'The signature of the request has expired.',
  unverifiable: 'The signature of the request cannot be checked.',
} as const;

const failed = (
  constraint: Breach['constraint'],
  detail: string,
  compared: Readonly<Record<string, unknown>>,
): Breach => ({ constraint, code: 'constraint_failed', detail, compared });

/** Basic credentials that were asked for go no further than the token does. */
export function basicToCut(
  constraints: CompiledConstraints | null,
  { form, reading }: Pick<Question, 'form' | 'reading'>,
): readonly Found[] {
  if (constraints?.source.basic === undefined) return [];
  const basic = readBasic(form, reading);
  return basic.kind === 'one' ? [basic.found] : [];
}
