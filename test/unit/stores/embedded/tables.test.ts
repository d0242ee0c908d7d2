import { rmSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { StoredToken } from '../../../../src/core/token.ts';
import { noUsage } from '../../../../src/core/usage.ts';
import type { Finding } from '../../../../src/ports/store-transfer.ts';
import type { Page, TokenQuery } from '../../../../src/ports/token-store.ts';
import { openDatabase } from '../../../../src/stores/embedded/database.ts';
import { makeHandlers } from '../../../../src/stores/embedded/handlers.ts';
import type { Handlers, Steps, TokenRow } from '../../../../src/stores/embedded/operations.ts';
import { anAccount, anAudit, aRole, aToken, changed, made } from '../../../contract/harness.ts';
import { temporaryFolder } from '../../../support/embedded.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

let folder: string;
let db: DatabaseSync;
let handlers: Handlers;
beforeEach(() => {
  folder = temporaryFolder();
  db = openDatabase(folder, true);
  handlers = makeHandlers(db, { feedEvents: 50, usageRetention: { hours: 31 * dayMs, days: 400 * dayMs } });
});
afterEach(() => {
  db.close();
  rmSync(folder, { recursive: true });
});

describe('lists of very many tokens', () => {
  const count = 12_000;
  const tokenOf = (i: number): StoredToken =>
    aToken(`t${i}`, {
      owner: i % 2 === 0 ? 'big' : null,
      kind: i === 11_500 ? 'rare' : 'native',
      state: i > 9000 || i % 3 === 0 ? 'enabled' : 'revoked',
      name: `${i % 2 === 0 ? 'even' : 'odd'} ${i}`,
      tags: i % 1000 === 0 ? ['few'] : ['many'],
      createdAt: made + i,
      expiresAt: made + i,
    });
  const fill = (): void => {
    db.exec('BEGIN');
    handlers.putAccount(anAccount('big'), 0, anAudit('create'));
    for (let i = 0; i < count; i++) handlers.createToken(tokenOf(i), anAudit('create'), null, 0);
    db.exec('COMMIT');
  };
  const queries: Omit<TokenQuery, 'limit' | 'after'>[] = [
    {},
    { owner: 'big' },
    { owner: 'big', state: 'revoked' },
    { state: 'enabled' },
    { state: 'disabled' },
    { state: 'revoked' },
    { kind: 'rare' },
    { kind: 'native', tag: 'few' },
    { tag: 'many', owner: 'big' },
    { prefix: 'odd' },
    { prefix: 'odd 11', state: 'enabled' },
    { prefix: 'nothing' },
    { expiresBefore: made + 10 },
    { expiresBefore: made + 11_000, tag: 'few' },
    { owner: 'big', kind: 'native', tag: 'few', prefix: 'even', state: 'enabled', expiresBefore: made + 8000 },
  ];

  /** Ids that a query leads to, and the most pauses that a page made. */
  function walk(query: Omit<TokenQuery, 'limit' | 'after'>, limit: number): { ids: string[]; pauses: number } {
    const ids: string[] = [];
    let most = 0;
    let after: number | null = null;
    do {
      const steps = handlers.listTokens({ ...query, limit, after }) as Steps<Page<TokenRow>>;
      let pauses = 0;
      let step = steps.next();
      for (; !step.done; step = steps.next()) pauses++;
      most = Math.max(most, pauses);
      ids.push(...step.value.items.map(item => (JSON.parse(item.token) as StoredToken).id));
      after = step.value.next;
    } while (after !== null);
    return { ids, pauses: most };
  }

  test('every query leads to the same tokens whether its index is walked in strides or not', () => {
    fill();
    handlers.putAccount(changed(anAccount('big'), { revokedBefore: made + 5000 }), 1, anAudit('revoke'));
    for (const query of queries) {
      const { owner, state, kind, tag, prefix, expiresBefore } = query;
      const expected = Array.from({ length: count }, (_, i) => tokenOf(i)).filter(token => {
        const revoked = token.state === 'revoked' || (token.owner === 'big' && token.createdAt <= made + 5000);
        return (
          revoked === (state === 'revoked') &&
          (state === undefined || revoked || token.state === state) &&
          (owner === undefined || token.owner === owner) &&
          (kind === undefined || token.kind === kind) &&
          (tag === undefined || token.tags.includes(tag)) &&
          (prefix === undefined || token.name.startsWith(prefix)) &&
          (expiresBefore === undefined || token.expiresAt! < expiresBefore)
        );
      });
      const ids = expected.map(token => token.id);
      for (const limit of [100, 700, 20_000]) expect(walk(query, limit).ids, JSON.stringify(query)).toEqual(ids);
    }
  });

  test('a query that finds little in much pauses on its way', () => {
    fill();
    expect(walk({ state: 'disabled' }, 100).pauses).toBe(0);
    expect(walk({ tag: 'few' }, 100).pauses).toBe(0);
    expect(walk({ kind: 'native', prefix: 'none' }, 100).pauses).toBe(0);
    expect(walk({ kind: 'native', owner: 'big', state: 'revoked' }, 5000).pauses).toBeGreaterThanOrEqual(1);
  });

  test('no statement reads a whole table or index', () => {
    const prepare = vi.spyOn(db, 'prepare');
    fill();
    for (const query of queries) walk(query, 100);
    handlers = makeHandlers(db, { feedEvents: 50, usageRetention: { hours: 1, days: 1 } });
    const statements = [...new Set(prepare.mock.calls.map(([sql]) => sql))].filter(sql =>
      /^\s*(SELECT|UPDATE|DELETE)/.test(sql),
    );
    prepare.mockRestore();
    expect(statements.length).toBeGreaterThan(30);
    for (const sql of statements) {
      const plan = db
        .prepare(`EXPLAIN QUERY PLAN ${sql}`)
        .all()
        .map(row => String(row['detail']));
      const scans = plan.filter(detail => /^SCAN (?!CONSTANT|\(subquery)/.test(detail));
      expect(scans, sql).toEqual([]);
    }
  });
});

describe('an account with a role that is not there', () => {
  beforeEach(() => {
    handlers.putRole(aRole('a', { permissions: { '*': false } }), 0, anAudit('create'));
    handlers.putAccount(anAccount('acme', { roles: ['a'] }), 0, anAudit('create'));
    handlers.createToken(aToken('t', { owner: 'acme' }), anAudit('create'), null, 0);
  });
  const wrong = () => (handlers.examine() as readonly Finding[]).filter(({ state }) => state !== 'good');

  test('is found', () => {
    expect(wrong()).toEqual([]);
    db.exec('DELETE FROM roles');
    expect(wrong()).toMatchObject([{ name: 'roles', state: 'bad' }]);
  });

  test('has no token that is let in without it', () => {
    db.exec('DELETE FROM roles');
    expect(() => handlers.find(['digest-of-t'], 0)).toThrow('the role a is not there');
    expect(() => handlers.getOwner('acme')).toThrow('the role a is not there');
  });

  test('is found when it is not known who has roles', () => {
    db.exec('DELETE FROM account_roles');
    expect(wrong()).toMatchObject([{ name: 'roles', state: 'bad' }]);
  });
});

describe('what is dropped with time', () => {
  const report = (number: number, hour: number, now: number) =>
    handlers.reportUsage(
      {
        process: 'p',
        number,
        from: 0,
        last: true,
        entries: [{ tokenId: 't', hour, usage: { ...noUsage, allowed: 1 } }],
      },
      now,
    );

  test('hours are kept for 31 days and days for 400; totals for good', () => {
    report(1, 0, 0);
    report(2, 31 * dayMs, 31 * dayMs);
    expect(handlers.usageSeries('t', 'hour', 0, 500 * dayMs)).toHaveLength(2);
    report(3, 31 * dayMs + hourMs, 31 * dayMs + hourMs);
    expect(handlers.usageSeries('t', 'hour', 0, 500 * dayMs)).toHaveLength(2);
    expect(handlers.usageSeries('t', 'day', 0, 500 * dayMs)).toHaveLength(2);
    report(4, 401 * dayMs, 401 * dayMs);
    expect(handlers.usageSeries('t', 'day', 0, 500 * dayMs)).toHaveLength(2);
    const [[, total]] = handlers.usageTotals(['t']) as [[string, string]];
    expect(JSON.parse(total)).toMatchObject({ allowed: 4 });
  });

  test('a long overdue clean-up is done in parts, so that no report waits for it', () => {
    const usage = { ...noUsage, allowed: 1 };
    const entries = Array.from({ length: 1200 }, (_, i) => ({ tokenId: `t${i}`, hour: 0, usage }));
    handlers.reportUsage({ process: 'p', number: 1, from: 0, last: true, entries }, 0);
    const left = (): unknown => db.prepare("SELECT count(*) AS n FROM usage_series WHERE step = 'hour'").get()?.['n'];
    for (const [number, expected] of [1200, 700, 200, 0].entries()) {
      if (number > 0) {
        const empty = { process: 'p', number: number + 1, from: 0, last: true, entries: [] };
        handlers.reportUsage(empty, 32 * dayMs);
      }
      expect(left()).toBe(expected);
    }
  });

  test('expired idempotency records go with later creations', () => {
    const create = (i: number, now: number) => {
      const idempotency = { key: `k${i}`, body: 'b', expiresAt: now + 10 };
      handlers.createToken(aToken(`t${i}`), anAudit('create'), idempotency, now);
    };
    for (let i = 0; i < 20; i++) create(i, 0);
    for (let i = 20; i < 23; i++) create(i, 1000);
    expect(db.prepare('SELECT count(*) AS n FROM idempotency').get()).toEqual({ n: 3 });
  });

  test('a feed that was made shorter is cut in parts, and has no gap in what is left', () => {
    const long = makeHandlers(db, { feedEvents: 1000, usageRetention: { hours: 1, days: 1 } });
    for (let i = 0; i < 500; i++) long.createToken(aToken(`t${i}`), anAudit('create'), null, 0);
    const bounds = () => db.prepare('SELECT min(seq) AS first, max(seq) AS last, count(*) AS n FROM feed').get();
    expect(bounds()).toEqual({ first: 1, last: 500, n: 500 });
    handlers.createToken(aToken('one'), anAudit('create'), null, 0);
    expect(bounds()).toEqual({ first: 101, last: 501, n: 401 });
    for (let i = 0; i < 10; i++) handlers.createToken(aToken(`more${i}`), anAudit('create'), null, 0);
    expect(bounds()).toEqual({ first: 462, last: 511, n: 50 });
  });
});
