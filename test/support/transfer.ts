import type { Claim } from '../../src/core/ledger.ts';
import { type Limit, ledgerName } from '../../src/core/limit.ts';
import { noUsage, type Usage } from '../../src/core/usage.ts';
import type { StoreRecord, StoreSource, StoreTarget } from '../../src/ports/store-transfer.ts';
import { anAccount, anAudit, aRole, aToken, changed, made, type TestedStore } from '../contract/harness.ts';
import { aClaim } from './claims.ts';

/** What a dump comes to: the last record of each thing, in an order of its own; without the position, which no two share. */
export async function contentsOf(source: StoreSource): Promise<readonly string[]> {
  const found = new Map<string, string>();
  for await (const page of source.dump()) {
    for (const record of page) if (record.kind !== 'position') found.set(nameOf(record), canonical(record));
  }
  return [...found.values()].sort();
}

/** All that comes. */
export async function listOf<T>(coming: AsyncIterable<T>): Promise<readonly T[]> {
  const found: T[] = [];
  for await (const each of coming) found.push(each);
  return found;
}

/** Fills a store with everything of another. */
export async function fill(target: StoreTarget, source: StoreSource): Promise<void> {
  for await (const page of source.dump()) await target.add(page);
}

function nameOf(record: StoreRecord): string {
  switch (record.kind) {
    case 'role':
      return `role ${record.role.id}`;
    case 'account':
      return `account ${record.account.id}`;
    case 'token':
      return `token ${record.token.id}`;
    case 'event':
      return `event ${record.event.id}`;
    case 'usage':
      return `usage ${record.usage.tokenId}`;
    case 'checksum_key':
      return `key ${record.id}`;
    case 'creation':
      return `creation ${record.key}`;
    case 'limit_head':
      return `limits of ${record.subject.kind} ${record.subject.id}`;
    case 'limit_window':
      return `limit ${record.ledger} ${record.label} of ${record.subject.kind} ${record.subject.id}`;
    case 'position':
      return 'position';
  }
}

/** JSON with members in order, and without counts of zero, which stores need not keep. */
const canonical = (record: StoreRecord): string =>
  JSON.stringify(record, (name, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(
      ['refused', 'status'].includes(name) ? members.filter(([, count]) => count > 0) : members,
    );
  });

const hourMs = 3_600_000;

const used = (more: Partial<Usage>): Usage => ({ ...noUsage, allowed: 3, bytesIn: 10, bytesOut: 20, ...more });

/** Gives a store one of everything that it can keep. */
export async function furnish(store: TestedStore): Promise<void> {
  const { tokens, usage, clock } = store;
  const now = clock.wall();
  await store.keepChecksumKeys([
    { id: 'k1', key: 'aa'.repeat(32) },
    { id: 'k two', key: 'bb'.repeat(32) },
  ]);
  for (const id of ['first', 'second', 'third', 'none']) await tokens.putRole(aRole(id), 0, anAudit('create'));
  await tokens.putRole(changed(aRole('none'), { deleted: true }), 1, anAudit('delete'));
  const limits: readonly Limit[] = [
    { name: 'day', max: 0, per: '1d', algorithm: 'window', burst: 0 },
    { name: 'pace', max: 1_000_000_000_000, per: '1s', algorithm: 'bucket', burst: 7 },
  ];
  await tokens.putAccount(
    anAccount('acme', { roles: ['first', 'third'], owns: ['a/*'], limits }),
    0,
    anAudit('create'),
  );
  await tokens.orderRoles(
    ['third', 'first', 'second'],
    anAudit('order', { changes: { ids: { from: [], to: ['x'] } } }),
  );
  await tokens.putAccount(anAccount('gone', { roles: ['second'] }), 0, anAudit('create'));
  await tokens.putAccount(anAccount('marked', { name: 'ünï\n"cödé" 🙂' }), 0, anAudit('create'));
  const constraints = {
    networks: ['10.0.0.0/8'],
    params: { '1': 'a', constructor: 'ü' },
    signature: { sealed: 'v1.AAAA' },
    basic: { alice: '$scrypt$ln=15,r=8,p=3$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA' },
  };
  const plain = aToken('plain', { limits, tags: ['red', 'green'], extra: { any: [null, [], {}, 1.5, 'ü\u2028🙂'] } });
  await tokens.createToken(plain, anAudit('create'), { key: 'k1', body: 'b1', expiresAt: now + 86_400_000 });
  await tokens.createToken(aToken('of-acme', { owner: 'acme', expiresAt: now + 1 }), anAudit('create'), null);
  await tokens.createToken(aToken('of-gone', { owner: 'gone', kind: 'legacy', constraints }), anAudit('create'), null);
  await tokens.createToken(aToken('of-marked', { owner: 'marked', permissions: { a: true } }), anAudit('create'), null);
  await tokens.createToken(aToken('revoked'), anAudit('create'), { key: 'k2', body: 'b2', expiresAt: now - 1 });
  const previous = { digest: plain.digest, until: now + 500 };
  const rotated = changed(plain, { digest: 'rotated', previous, updatedAt: made + 5 });
  const changes = { hint: { from: 'a', to: 'b' } };
  await tokens.replaceToken(rotated, 1, anAudit('rotate', { at: made + 5, changes }));
  await tokens.replaceToken(changed(aToken('revoked'), { state: 'revoked' }), 1, anAudit('revoke'));
  await tokens.putAccount(
    changed(anAccount('gone', { roles: ['second'] }), { deleted: true, revokedBefore: made }),
    1,
    anAudit('delete'),
  );
  await tokens.putAccount(changed(anAccount('marked'), { revokedBefore: made }), 1, anAudit('revoke_all'));
  for (const [number, hour] of [now, now - hourMs, now - 30 * hourMs, now - 90 * 24 * hourMs].entries()) {
    const refused = { insufficient_scope: number };
    await usage.report({
      process: 'p',
      number: number + 1,
      entries: [
        {
          tokenId: 'plain',
          hour: hour - (hour % hourMs),
          usage: used({ refused, status: { '2xx': 3 }, lastUsedAt: hour }),
        },
        { tokenId: 'declared', hour: hour - (hour % hourMs), usage: used({ lastUsedAt: hour }) },
      ],
    });
  }
  await useLimits(store);
}

/** Uses limits of a token and an account: some units are spent, some are out, and some are burned. */
async function useLimits({ limits, clock }: TestedStore): Promise<void> {
  const [all, hourly, paced] = [
    { name: 'ü "all"', max: 1000, per: 'lifetime', algorithm: 'window', burst: 1000 },
    { name: 'calls', max: 100, per: '1d', algorithm: 'window', burst: 100 },
    { name: 'pace', max: 7, per: '1d', algorithm: 'bucket', burst: 50 },
  ] as const satisfies readonly Limit[];
  const of = (each: readonly Limit[], lease: Partial<Claim>) =>
    each.map(limit => ({ ledger: ledgerName(limit), label: null, claim: aClaim('p', lease) }));
  const both = { version: 3, limits: [all, hourly, paced] };
  const plain = { ...both, subject: { kind: 'token', id: 'plain' } } as const;
  const acme = { ...both, subject: { kind: 'account', id: 'acme' } } as const;
  const roll = { at: clock.wall(), live: new Set(['p']) };
  const around = { roll, processes: 2 };
  await limits.exchange(
    [
      { ...plain, claims: of(both.limits, { need: 20 }) },
      { ...acme, claims: of([all], { need: 5 }) },
    ],
    around,
  );
  await limits.exchange(
    [{ ...plain, claims: of(both.limits, { number: 1, granted: 20, spent: 13, back: 3 }) }],
    around,
  );
  await limits.reset(plain.subject, ledgerName(all));
  await limits.define({ kind: 'token', id: 'unused' }, 0, [hourly]);
}
