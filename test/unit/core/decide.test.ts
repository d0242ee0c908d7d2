import { describe, expect, test } from 'vitest';
import { type Found, Places, readCredential } from '../../../src/core/credential.ts';
import { type Decision, decide, type Evidence, permitPublic } from '../../../src/core/decide.ts';
import type { Denial } from '../../../src/core/decision.ts';
import type { Route } from '../../../src/core/route.ts';
import {
  type Account,
  compileSubject,
  invalidCauses,
  type StoredToken,
  type Subject,
} from '../../../src/core/token.ts';
import { anAccount, aToken } from '../../contract/harness.ts';
import { aForm, aQuestion, aRoute } from '../../support/request.ts';

const now = Date.UTC(2030, 0, 1);
const places = new Places([
  { kind: 'header', name: 'authorization', scheme: 'Bearer' },
  { kind: 'cookie', name: 'api_token' },
]);
const bearer = ['Authorization', 'Bearer tA'];
const cookie = ['Cookie', 'api_token=tA'];

function aSubject(token: Partial<StoredToken> = {}, account: Account | null = null): Subject {
  const stored = aToken('t1', { permissions: ['widgets:read'], ...token });
  return compileSubject(stored, account, [], stored.digest);
}

const found = (token: Partial<StoredToken> = {}, account: Account | null = null): Evidence => ({
  kind: 'found',
  subject: aSubject(token, account),
});

function judge(evidence: Evidence, route: Partial<Route> = {}, fields: string[] = bearer, method = 'GET'): Decision {
  const form = aForm('/w', fields, { method });
  const reading = readCredential(form, places);
  return decide(aQuestion(form, aRoute('/w', route), evidence, { reading, now }));
}

function denial(decision: Decision): Denial {
  if (decision.kind === 'permit') throw new Error('permitted');
  return decision;
}

const codeOf = (decision: Decision): string => (decision.kind === 'permit' ? decision.reason : decision.code);

describe('an outage is not a bad token', () => {
  test('what could not be looked up is 503 with a time to come back, on every kind of route that judges', () => {
    for (const access of ['token', 'optional'] as const) {
      const refusal = denial(judge({ kind: 'unavailable', retryAfter: 7 }, { access }));
      expect(refusal).toMatchObject({ code: 'store_unavailable', retryAfter: 7, subject: null });
    }
  });
});

describe('no token', () => {
  test('is 401 where one is needed', () => {
    expect(codeOf(judge({ kind: 'none' }, {}, []))).toBe('missing_token');
    expect(codeOf(judge({ kind: 'none' }, { require: { mode: 'all', permissions: [] } }, []))).toBe('missing_token');
  });

  test('passes without identity where it is optional', () => {
    expect(judge({ kind: 'none' }, { access: 'optional' }, [])).toMatchObject({
      kind: 'permit',
      reason: 'public',
      subject: null,
      permissions: [],
      cut: [],
    });
  });
});

describe('a bad token', () => {
  test.each<[string, Evidence]>([
    ['malformed', { kind: 'refused', cause: 'malformed' }],
    ['checksum', { kind: 'refused', cause: 'checksum' }],
    ['unknown', { kind: 'absent' }],
    ['revoked', found({ state: 'revoked' })],
    ['disabled', found({ state: 'disabled' })],
    ['account_disabled', found({ owner: 'acme' }, anAccount('acme', { enabled: false }))],
    ['not_yet_valid', found({ notBefore: now + 1 })],
    ['expired', found({ expiresAt: now })],
  ])('is one answer to the client, told apart in the record: %s', (cause, evidence) => {
    const refusal = denial(judge(evidence));
    expect(refusal.reason).toBe(`invalid_token_${cause}`);
    expect(refusal).toMatchObject({ code: 'invalid_token', detail: denial(judge({ kind: 'absent' })).detail });
    expect(refusal.required).toBeUndefined();
    expect(refusal.retryAfter).toBeUndefined();
  });

  test('every cause is tried above', () => {
    expect(invalidCauses).toHaveLength(8);
  });

  test('is refused where a token is optional, too', () => {
    for (const evidence of [{ kind: 'absent' }, found({ state: 'revoked' })] as const) {
      expect(codeOf(judge(evidence, { access: 'optional' }))).toBe('invalid_token');
    }
  });

  test('is refused before its permissions are looked at, and is known to the record', () => {
    const refusal = denial(judge(found({ state: 'revoked', permissions: [] }), { require: needs('widgets:read') }));
    expect(refusal).toMatchObject({ code: 'invalid_token', subject: { token: { id: 't1' } } });
  });
});

const needs = (...permissions: string[]): Route['require'] => ({ mode: 'all', permissions });
const needsAny = (...permissions: string[]): Route['require'] => ({ mode: 'any', permissions });

describe('permissions', () => {
  test.each<[string, Route['require'], string[], string[] | null]>([
    ['none is needed', null, [], []],
    ['the one is granted', needs('a'), ['a'], ['a']],
    ['all are granted', needs('a', 'b'), ['b', 'a', 'c'], ['a', 'b']],
    ['one of all is missing', needs('a', 'b'), ['a'], null],
    ['any is granted', needsAny('a', 'b'), ['b'], ['b']],
    ['the first of any that is granted counts', needsAny('a', 'b', 'c'), ['c', 'b'], ['b']],
    ['none of any is granted', needsAny('a', 'b'), ['c'], null],
    ['a token without permissions meets a need', needs('a'), [], null],
    ['a pattern grants it', needs('db.get'), ['db.*'], ['db.get']],
  ])('%s', (_, require, permissions, used) => {
    const decision = judge(found({ permissions }), { require });
    if (used === null) expect(codeOf(decision)).toBe('insufficient_scope');
    else expect(decision).toMatchObject({ kind: 'permit', reason: 'allowed', permissions: used });
  });

  test('what is missing is listed: of all those that lack, of any every one', () => {
    const refusal = denial(judge(found({ permissions: ['a'] }), { require: needs('a', 'b', 'c') }));
    expect(refusal).toMatchObject({ required: ['b', 'c'], detail: expect.stringContaining('"b", "c"') });
    expect(denial(judge(found(), { require: needsAny('x', 'y') })).required).toEqual(['x', 'y']);
    expect(refusal.subject?.token.id).toBe('t1');
  });

  test('an optional token that lacks them is refused, although none would pass', () => {
    expect(codeOf(judge(found(), { access: 'optional', require: needs('x') }))).toBe('insufficient_scope');
  });
});

describe('a token in a cookie', () => {
  const evil = ['Origin', 'https://evil.example'];

  test('does not act for another site, whatever it may do', () => {
    const refusal = denial(judge(found(), {}, [...cookie, ...evil], 'POST'));
    expect(refusal).toMatchObject({ code: 'constraint_failed', subject: { token: { id: 't1' } } });
    expect(codeOf(judge(found(), {}, [...cookie, ...evil], 'GET'))).toBe('allowed');
    expect(codeOf(judge(found(), {}, [...bearer, ...evil], 'POST'))).toBe('allowed');
    expect(codeOf(judge(found(), {}, cookie, 'POST'))).toBe('allowed');
  });

  test('is judged by the list of the route', () => {
    const cors = { origins: new Set(['https://evil.example']), preflight: 'refuse' } as const;
    expect(codeOf(judge(found(), { cors }, [...cookie, ...evil], 'POST'))).toBe('allowed');
  });

  test('says so before it says what permissions lack, and after it says that the token is bad', () => {
    const fields = [...cookie, ...evil];
    expect(codeOf(judge(found(), { require: needs('x') }, fields, 'POST'))).toBe('constraint_failed');
    expect(codeOf(judge(found({ state: 'disabled' }), {}, fields, 'POST'))).toBe('invalid_token');
  });
});

describe('a permit', () => {
  test('has the credential to cut, unless the route forwards it', () => {
    expect(judge(found())).toMatchObject({ cut: [{ place: 'header', value: 'tA' }] });
    expect(judge(found(), { forwardCredential: true })).toMatchObject({ cut: [] });
  });

  test('of a public route has no identity', () => {
    const cut: Found[] = [{ place: 'header', field: 0, value: 'x' }];
    expect(permitPublic(aRoute('/p'), cut)).toMatchObject({ kind: 'permit', reason: 'public', subject: null, cut });
  });

  test('cannot be made of look-alikes', () => {
    const permit = judge(found());
    if (permit.kind !== 'permit') throw new Error('denied');
    const { isPermit } = permit.constructor as unknown as { isPermit(thing: unknown): boolean };
    expect(isPermit(permit)).toBe(true);
    expect(isPermit({ ...permit })).toBe(false);
    expect(isPermit(Object.setPrototypeOf({ ...permit }, Object.getPrototypeOf(permit)))).toBe(false);
    expect(isPermit(denial(judge({ kind: 'absent' })))).toBe(false);
  });
});

test('what a request asks for is refused in shadow mode too when it cannot be told, whoever asks', () => {
  const require = { mode: 'all', permissions: ['q.{param.x}'] } as const;
  for (const evidence of [{ kind: 'none' }, { kind: 'absent' }, found(), found({ state: 'disabled' })] as const) {
    expect(codeOf(judge(evidence, { mode: 'shadow', require }))).toBe('malformed_request');
  }
  expect(codeOf(judge({ kind: 'none' }, { require }))).toBe('missing_token');
  expect(codeOf(judge({ kind: 'none' }, { mode: 'shadow', require: null }))).toBe('public');
});

describe("a manager's session", () => {
  const session = found(
    { kind: 'session', owner: 'acme', permissions: 'inherit' },
    anAccount('acme', { permissions: ['*'] }),
  );

  test.each(['token', 'optional'] as const)('is a token that nobody has where access is %s', access => {
    const refused = denial(judge(session, { access }));
    expect([refused.code, refused.reason]).toEqual(['invalid_token', 'invalid_token_unknown']);
    expect(refused.detail).toBe(denial(judge({ kind: 'absent' }, { access })).detail);
  });

  test('is none in shadow mode of its own, and nobody’s in that of a route', () => {
    const own = found({ kind: 'session', mode: 'shadow', permissions: ['*'] });
    expect(codeOf(judge(own))).toBe('invalid_token');
    const passed = judge(session, { mode: 'shadow' });
    expect(passed).toMatchObject({ kind: 'permit', subject: null, reason: 'public' });
  });
});
