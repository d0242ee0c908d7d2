import { afterEach, beforeEach, expect, test } from 'vitest';
import { Managers } from '../../src/app-sessions.ts';
import type { Config, Introspection } from '../../src/config/config.ts';
import { Peppers } from '../../src/secrets/peppers.ts';
import { Reader } from '../../src/secrets/reader.ts';
import { asker } from '../support/asker.ts';
import { LegacySystem } from '../support/legacy-system.ts';
import { type Managed, openManaged } from '../support/managed.ts';

/** Who manages, as the configuration in force says. */

let managed: Managed;
let systems: LegacySystem[];
beforeEach(async () => {
  managed = await openManaged();
  systems = [new LegacySystem(), new LegacySystem()];
  for (const [i, system] of systems.entries()) {
    await system.listen();
    system.answers(200, { user: `u${i}` });
  }
});
afterEach(async () => {
  for (const system of systems) await system.close();
  await managed.dispose();
});

const configOf = (introspect: Introspection | null): Config => ({ sessions: { introspect } }) as Config;
const introspection = (system: LegacySystem): Introspection => ({
  url: system.url,
  forward: [{ kind: 'cookie' }],
  account: ['user'],
  permissions: null,
  owns: null,
  cacheMs: 5000,
  timeoutMs: 5000,
});

test('the system that is configured is asked, and after a reload the new one or none', async () => {
  const [first, second] = systems as [LegacySystem, LegacySystem];
  const quiet = () => {};
  const managers = new Managers({
    config: configOf(introspection(first)),
    lookup: { peek: () => undefined, load: nothing, ask: nothing, changes: 0 },
    reader: () => new Reader(new Peppers([], false), { prefix: 'pst', shapes: [], declared: new Set() }),
    store: managed.store.tokens,
    accounts: managed.accounts,
    clock: managed.clock,
    log: { info: quiet, warn: quiet, error: quiet, fault: quiet },
  });
  const who = async (): Promise<string> => {
    const presented = { asker, cookie: 'sid=1', cookieValue: null, authorization: null, bearer: null, parameter: null };
    const found = await managers.identities.identify(presented, { tokenKind: null });
    return found.kind === 'manager' ? found.manager.account : found.kind;
  };
  expect([await who(), await who()]).toEqual(['u0', 'u0']);
  managers.configure(configOf(introspection(first)));
  expect(await who()).toBe('u0');
  expect(first.asked).toHaveLength(1);
  managers.configure(configOf(introspection(second)));
  expect(await who()).toBe('u1');
  managers.configure(configOf(null));
  expect(await who()).toBe('nobody');
  managers.configure(configOf(introspection(first)));
  expect(await who()).toBe('u0');
  expect(first.asked).toHaveLength(2);
  managers.close();
  managed.clock.advance(5000);
  expect(await who()).toBe('unavailable');
});

const nothing = () => Promise.resolve({ kind: 'absent' } as const);
