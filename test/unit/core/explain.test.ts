import { describe, expect, test } from 'vitest';
import { decide, type Evidence } from '../../../src/core/decide.ts';
import { type Denial, deny } from '../../../src/core/decision.ts';
import { type Explanation, explain, type Facts } from '../../../src/core/explain.ts';
import { capacityOf, type Limit, type LimitView } from '../../../src/core/limit.ts';
import { denyCharge } from '../../../src/core/limit-denial.ts';
import { limitFaults, type SaidLimit, shownLimit } from '../../../src/core/limit-form.ts';
import type { OwnPermissions, Permissions } from '../../../src/core/permissions.ts';
import { mergePermissions } from '../../../src/core/permissions.ts';
import { Rule } from '../../../src/core/rule.ts';
import { type Account, compileSubject, type Role, type StoredToken, type Subject } from '../../../src/core/token.ts';
import { anAccount, aToken } from '../../contract/harness.ts';
import { aForm, aQuestion, aRoute } from '../../support/request.ts';

const aRole = (id: string, more: Partial<Role>): Role => ({
  id,
  name: '',
  permissions: [],
  deleted: false,
  createdAt: 0,
  updatedAt: 0,
  version: 1,
  ...more,
});

/** What decided on a permission, on which side, and that the advice gives what was missing, whatever form it had. */

interface World {
  readonly token: StoredToken;
  readonly account: Account | null;
  readonly roles: readonly Role[];
}

const demand = (actions: readonly string[], resource: string | null, mode: 'all' | 'any' = 'all') =>
  ({ kind: 'demands', demands: [{ mode, permissions: actions, resource }] }) as const;

function judged(
  { token, account, roles }: World,
  claim: ReturnType<typeof demand>,
): { facts: Facts; subject: Subject } {
  const subject = compileSubject(token, account, roles, token.digest);
  const route = aRoute('/x');
  const evidence: Evidence = { kind: 'found', subject };
  const decision = decide(aQuestion(aForm('/x'), route, evidence, { claim }));
  const denial = decision.kind === 'denial' ? decision : null;
  const facts: Facts = {
    method: 'GET',
    host: 'a',
    path: '/x',
    client: '192.0.2.1',
    place: 'authorization',
    places: ['the field authorization: Bearer <token>'],
    mount: null,
    pattern: '/x',
    route,
    evidence: 'found',
    subject,
    claim,
    limits: null,
    body: null,
    now: 0,
    fell: denial === null ? null : { phase: 'permission', denial },
    shadowed: false,
    status: denial === null ? 200 : 403,
  };
  return { facts, subject };
}

/** What the calls of a remedy make of the world. */
function carriedOut(world: World, remedy: string): World {
  let { token, account } = world;
  for (const line of remedy.split('\n')) {
    const [, method, target, body] = /^(PUT|PATCH) (\S+) (.+)$/.exec(line) ?? [];
    if (method === undefined) continue;
    const said = JSON.parse(body!) as never;
    if (target === `/v1/tokens/${token.id}/permissions`) {
      const permissions =
        method === 'PUT' ? (said as Permissions) : merged(token.permissions as Record<string, boolean>, said);
      token = { ...token, permissions };
    } else {
      expect([method, target]).toEqual(['PATCH', `/v1/accounts/${account!.id}`]);
      const { permissions } = said as { permissions: OwnPermissions };
      const isMap = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
      const own = account!.permissions as Record<string, boolean>;
      const next = isMap(permissions) && isMap(own) ? merged(own, permissions as Record<string, boolean>) : permissions;
      account = { ...account!, permissions: next };
    }
  }
  return { ...world, token, account };
}

const merged = (base: Record<string, boolean>, patch: Record<string, boolean>) => mergePermissions(base, patch);

const forms: Record<string, Permissions> = {
  'an empty list': [],
  'a list': ['other', 'more.*'],
  'an empty map': {},
  'a map that withholds': { 'db.get': true, '*': false },
  grants: [{ resources: ['db/hr'], actions: { 'db.get': true } }],
  'grants that withhold': [
    { resources: ['*'], actions: { '*': true } },
    { resources: ['db/*', '*'], actions: { 'db.get': false } },
  ],
  inherit: 'inherit',
};
const owners: Record<string, Account | null> = {
  nobody: null,
  'an account that was never given anything': anAccount('acme', { permissions: null }),
  'an account with an empty list': anAccount('acme', { permissions: [] }),
  'an account with a map that withholds': anAccount('acme', { permissions: { '*': true, 'db.get': false } }),
  'an account that owns little': anAccount('acme', { permissions: ['*'], owns: ['db/hr'] }),
  'an account whose role withholds': anAccount('acme', { permissions: null, roles: ['r'] }),
};
const claims = {
  'an action': demand(['db.get'], null),
  'an action on a resource': demand(['db.get'], 'db/sales'),
  'two actions on a resource': demand(['db.get', 'db.put'], 'db/sales'),
  'any of two': demand(['db.get', 'db.put'], 'db/sales', 'any'),
};
const role = aRole('r', { permissions: { 'db.get': false } });

const rows = Object.keys(forms).flatMap(form =>
  Object.keys(owners).flatMap(owner => Object.keys(claims).map(claim => ({ form, owner, claim }))),
);

describe('the advice gives what is missing, and no more than what is asked for', () => {
  test.each(rows)('$claim, for a token with $form of $owner', ({ form, owner, claim }) => {
    const account = owners[owner]!;
    const world: World = {
      token: aToken('tok_a', { permissions: forms[form]!, owner: account?.id ?? null }),
      account,
      roles: account?.roles.includes('r') ? [role] : [],
    };
    const asked = claims[claim as keyof typeof claims];
    const { facts } = judged(world, asked);
    const explanation = explain(facts);
    if (facts.fell === null) {
      expect(explanation).toMatchObject({ allow: true, remedy: null });
      return;
    }
    expect(explanation).toMatchObject({ allow: false, code: 'insufficient_scope' });
    const last = explanation.steps.at(-1)!;
    expect(['failed', 'passed']).toContain(last.outcome);
    expect(explanation.steps.some(({ outcome }) => outcome === 'failed')).toBe(true);
    const next = carriedOut(world, explanation.remedy!);
    expect(judged(next, asked).facts.fell, explanation.remedy!).toBeNull();
    // Nothing else came along.
    for (const [action, resource] of [
      ['db.drop', 'db/sales'],
      ['db.get', 'db/other'],
    ] as const) {
      if (asked.demands[0].resource === null) continue;
      const before = judged(world, demand([action], resource)).subject.rights.permits(action, resource);
      if (!before) expect(judged(next, demand([action], resource)).facts.fell).not.toBeNull();
    }
  });
});

describe('the grant that decided', () => {
  test('of a role or an account is told by its place in the permissions of that', () => {
    const first = aRole('first', { permissions: ['a', 'b'] });
    const second = aRole('second', {
      permissions: [
        { resources: ['x/1'], actions: { get: true } },
        { resources: ['x/*'], actions: { get: false } },
      ],
    });
    const account = anAccount('acme', { permissions: [{ resources: ['y/*'], actions: { get: false } }] });
    const token = aToken('tok_a', { permissions: 'inherit', owner: 'acme' });
    const world = { token, account, roles: [first, second] };
    const grantFor = (resource: string) => explain(judged(world, demand(['get'], resource)).facts).steps.at(-1)!.grant;
    expect(grantFor('x/1')).toEqual({
      of: 'role',
      id: 'second',
      index: 1,
      resource: 'x/*',
      action: 'get',
      allow: false,
    });
    expect(grantFor('y/1')).toEqual({
      of: 'account',
      id: 'acme',
      index: 0,
      resource: 'y/*',
      action: 'get',
      allow: false,
    });
    expect(grantFor('z/1')).toBeUndefined();
  });

  test('is that of the side which withholds, where the other grants', () => {
    const account = anAccount('acme', { permissions: { '*': true, get: false } });
    const token = aToken('tok_a', { permissions: ['get'], owner: 'acme' });
    const step = explain(judged({ token, account, roles: [] }, demand(['get'], null)).facts).steps.at(-1)!;
    expect(step.compared).toMatchObject({ token: 'grants it', account: 'withholds it' });
    expect(step.grant).toMatchObject({ of: 'account', id: 'acme', action: 'get', allow: false });
  });
});

test('advice on a declared token is about its account where that alone lacks the permission', () => {
  const account = anAccount('acme', { permissions: [] });
  const token = aToken('tok_a', { kind: 'declared', permissions: ['db.get'], owner: 'acme' });
  const remedyOf = (permissions: Permissions): string =>
    explain(judged({ token: { ...token, permissions }, account, roles: [] }, demand(['db.get'], null)).facts).remedy!;
  const grants = '\nPATCH /v1/accounts/acme {"permissions":["db.get"]}';
  expect(remedyOf(['db.get'])).toBe(`Grant what is missing.${grants}`);
  expect(remedyOf([])).toMatch(/^Give the token tok_a the permission in `tokens\.declared` of the configuration\.\n/);
  expect(remedyOf([])).toContain(grants);
});

describe('advice on constraints', () => {
  /** What is advised where a token's constraint refused. */
  function advice(token: StoredToken, denial: Denial): string {
    const { facts } = judged({ token, account: null, roles: [] }, demand([], null));
    return explain({ ...facts, fell: { phase: 'constraints', denial: { ...denial, subject: facts.subject } } }).remedy!;
  }
  const basic = { constraint: 'basic' };

  test('of a declared token changes the configuration, which the admin API does not', () => {
    const token = aToken('tok_a', { kind: 'declared', constraints: { methods: ['PUT'] } });
    const remedy = advice(token, deny('constraint_failed', 'x', { compared: { constraint: 'methods' } }));
    expect(remedy).toMatch(/^Use PUT, or change `constraints` of the token tok_a in `tokens\.declared`/);
    expect(remedy).not.toContain('PATCH');
  });

  test('that cannot be read takes them back as a whole', () => {
    const token = aToken('tok_a', { constraints: { newer: 1 } as never });
    const remedy = advice(token, deny('constraint_failed', 'x', { compared: { constraint: null } }));
    expect(remedy).toContain('\nPATCH /v1/tokens/tok_a {"constraints":null}');
  });

  test('on passwords is about passwords, where the guard or other passwords stand in the way, too', () => {
    const token = aToken('tok_a', { constraints: { basic: { alice: 'x' } } });
    expect(advice(token, deny('overloaded', 'x', { compared: basic }))).toContain('passwords');
    const held = deny('too_many_failures', 'x', { retryAfter: 7, compared: { ...basic, cause: 'basic_required' } });
    expect(advice(token, held)).toMatch(/^Wait 7 s, .* and then: Send the Basic credentials of alice/);
  });
});

describe('limits', () => {
  const day: Limit = { name: 'day', max: 5, per: '1d', algorithm: 'window', burst: 5 };
  const pace: Limit = { name: 'pace', max: 2, per: '1s', algorithm: 'bucket', burst: 4 };
  const never: Limit = { ...day, name: 'never', max: 0, burst: 0 };
  const token = aToken('tok_a', { owner: 'acme', limits: [day, pace] });
  const account = anAccount('acme', { limits: [day, never] });
  const world = { token, account, roles: [] };
  const { facts, subject } = judged(world, demand([], null));
  const limits = [
    ...token.limits.map(each => viewed(each, 'token')),
    ...account.limits.map(each => viewed(each, 'account')),
  ];

  function viewed(limit: Limit, scope: 'token' | 'account'): LimitView {
    const { name, per, algorithm } = limit;
    return {
      name,
      scope,
      per,
      algorithm,
      capacity: capacityOf(limit),
      left: 0,
      resetsAt: null,
      windowSeconds: 1,
      violated: false,
    };
  }
  const refused = (
    cost: number,
    names: readonly string[],
    retryAfter: number | null,
    of: Subject = subject,
  ): Explanation => {
    const violating = limits.map(view => ({ ...view, violated: names.includes(`${view.scope} ${view.name}`) }));
    const denial = denyCharge(of, cost, { kind: 'refused', limits: violating, retryAfter });
    return explain({ ...facts, subject: of, fell: { phase: 'limits', denial } });
  };

  test('that refuse are compared with the cost, and waited for or begun anew', () => {
    const { steps, remedy } = refused(1, ['token day', 'account day'], 7);
    expect(steps.at(-1)).toMatchObject({
      phase: 'limits',
      outcome: 'failed',
      compared: {
        cost: 1,
        limits: [
          { name: 'day', of: 'token', most: 5, left: 0 },
          { name: 'day', of: 'account' },
        ],
      },
    });
    expect(remedy).toBe(
      'Wait 7 s, or let it have more:\nPOST /v1/tokens/tok_a/limits/day/reset\nPOST /v1/accounts/acme/limits/day/reset',
    );
  });

  test('that are smaller than the cost are raised to it, and their neighbours stay as they are', () => {
    const { remedy } = refused(9, ['token pace', 'account never'], null);
    expect(remedy).toMatch(/^Waiting does not help: let it have more:/);
    const [, ofToken, ofAccount] = remedy!.split('\n');
    expect(JSON.parse(/^PATCH \/v1\/tokens\/tok_a (.+)$/.exec(ofToken!)![1]!)).toEqual({
      limits: [shownLimit(day), { ...shownLimit(pace), burst: 9 }],
    });
    const raised = JSON.parse(/^PATCH \/v1\/accounts\/acme (.+)$/.exec(ofAccount!)![1]!) as { limits: SaidLimit[] };
    expect(raised).toEqual({ limits: [shownLimit(day), { ...shownLimit(never), max: 9 }] });
    expect(limitFaults(raised.limits)).toEqual([]);
  });

  test('of a declared token are raised in the configuration', () => {
    const declared = { ...subject, token: { ...subject.token, kind: 'declared' } };
    expect(refused(9, ['token day'], null, declared).remedy).toBe(
      'Waiting does not help: raise the limits of the token tok_a in `tokens.declared` of the configuration.',
    );
  });

  test('that nobody can tell of in time are nobody\u2019s fault', () => {
    for (const kind of ['busy', 'unavailable'] as const) {
      const { code, remedy, steps } = explain({
        ...facts,
        fell: { phase: 'limits', denial: denyCharge(subject, 1, { kind }) },
      });
      expect(code).toBe(kind === 'busy' ? 'overloaded' : 'store_unavailable');
      expect(remedy).toContain('again');
      expect(steps.at(-1)).toMatchObject({
        phase: 'limits',
        compared: { limits: expect.arrayContaining(['day of the account']) },
      });
    }
  });

  test('are named where nothing was asked of them, and taken for passed where the request went on', () => {
    const step = { phase: 'limits', compared: { cost: 1, limits: expect.arrayContaining(['pace of the token']) } };
    expect(explain(facts).steps.at(-1)).toMatchObject({ ...step, outcome: 'skipped' });
    const left = explain({ ...facts, limits }).steps.at(-1)!;
    expect(left).toMatchObject({
      phase: 'limits',
      outcome: 'passed',
      compared: { limits: [{ name: 'day', left: 0 }, {}, {}, {}] },
    });
    const denial = deny('upstream_failed', 'x');
    const { steps } = explain({ ...facts, fell: { phase: 'forward', denial } });
    expect(steps.at(-2)).toMatchObject({ ...step, outcome: 'passed' });
  });
});

test('a route that asks for nothing is nothing to judge', () => {
  const rule = new Rule(aRoute('/x'));
  expect(rule.fixed).toEqual({ kind: 'demands', demands: [] });
  const world = { token: aToken('tok_a'), account: null, roles: [] };
  const { facts } = judged(world, { kind: 'demands', demands: [] } as never);
  expect(explain(facts).steps.map(({ phase, outcome }) => `${phase} ${outcome}`)).toEqual([
    'form passed',
    'route passed',
    'credential passed',
    'token passed',
    'constraints skipped',
    'permission skipped',
  ]);
});
