import { afterAll, describe, expect, test } from 'vitest';
import { CachedLookup } from '../../../src/cache/cached-lookup.ts';
import { SessionIdentities } from '../../../src/manage/session-identities.ts';
import type { Identified, Presented } from '../../../src/ports/session-source.ts';
import type { TokenStore } from '../../../src/ports/token-store.ts';
import { Peppers } from '../../../src/secrets/peppers.ts';
import { Reader } from '../../../src/secrets/reader.ts';
import type { OpenStore } from '../../contract/harness.ts';
import { asker } from '../../support/asker.ts';
import { openInFolder } from '../../support/embedded.ts';
import { type Managed, openManaged, ops } from '../../support/managed.ts';
import type { ManualClock } from '../../support/manual-clock.ts';
import { openOn, RedisServer } from '../../support/redis.ts';

/** The life of a session on each store: made, used, over, revoked, and all of it after a restart. */

const server = RedisServer.start();
afterAll(async () => (await server).stop());

const stores: readonly [string, OpenStore][] = [
  ['the embedded store', openInFolder],
  ['Redis', openOn(() => server)],
];

/** A process that knows nothing yet. */
function processOver(tokens: TokenStore, { accounts }: Managed, clock: ManualClock): SessionIdentities {
  const limits = { maxEntries: 100, ttlMs: 60_000, negativeTtlMs: 5000, boundMs: 5000, cutOffMs: 5000 };
  const quiet = () => {};
  const reader = new Reader(new Peppers([], false), { prefix: 'pst', shapes: [], declared: new Set() });
  return new SessionIdentities({
    lookup: new CachedLookup(tokens, clock, { ...limits, onlyWhileSeen: false, deadlineMs: 5000 }),
    reader: () => reader,
    store: tokens,
    accounts,
    source: () => null,
    clock,
    log: { info: quiet, warn: quiet, error: quiet, fault: quiet },
  });
}

const shown = (session: string): Presented => ({
  asker,
  cookie: null,
  cookieValue: null,
  authorization: `Bearer ${session}`,
  bearer: session,
  parameter: null,
});
const accountOf = (found: Identified): string =>
  found.kind === 'manager' ? `${found.manager.account}: ${found.manager.permissions.names.join(' ')}` : found.kind;

describe.each(stores)('on %s', (_, open) => {
  test('sessions are good until they are over or revoked, and a restart changes nothing about it', async () => {
    const managed = await openManaged({}, open);
    const { accounts, roles, sessions, tokens, store, clock } = managed;
    await roles.create(ops, { id: 'r', permissions: ['of-the-role'] });
    await accounts.create(ops, { id: 'acme', roles: ['r'], permissions: ['own'] });
    const made = {
      good: await sessions.create(ops, 'acme', 60_000),
      over: await sessions.create(ops, 'acme', 1000),
      revoked: await sessions.create(ops, 'acme', 60_000),
    };
    const secrets = Object.values(made).map(({ session }) => session);
    const told = async (identities: SessionIdentities): Promise<string[]> => {
      const found = await Promise.all(
        secrets.map(session => identities.identify(shown(session), { tokenKind: 'session' })),
      );
      return found.map(accountOf);
    };
    const before = processOver(store.tokens, managed, clock);
    expect(await told(before)).toEqual(Array(3).fill('acme: of-the-role own'));
    clock.advance(1000);
    await tokens.revoke({ actor: ops, id: made.revoked.id });
    expect(await told(before)).toEqual(['acme: of-the-role own', 'nobody', 'nobody']);
    const again = await store.reopen();
    expect(await told(processOver(again.tokens, managed, clock))).toEqual([
      'acme: of-the-role own',
      'nobody',
      'nobody',
    ]);
    await again.dispose();
  });
});
