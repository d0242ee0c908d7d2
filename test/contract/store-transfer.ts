import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StoreRecord } from '../../src/ports/store-transfer.ts';
import { contentsOf, fill, furnish } from '../support/transfer.ts';
import {
  anAccount,
  anAudit,
  aRole,
  aToken,
  type BeginStore,
  changed,
  made,
  type OpenStore,
  type TestedStore,
} from './harness.ts';

/** What every store promises of being read from end to end, and of being filled. */
export function storeTransferContract(name: string, open: OpenStore, begin: BeginStore): void {
  describe(`store transfer: ${name}`, () => {
    let source: TestedStore;
    const left: { dispose(): Promise<void> }[] = [];
    beforeEach(async () => {
      source = await open();
      left.push(source);
    });
    afterEach(async () => {
      for (const each of left.splice(0)) await each.dispose();
    });

    /** A store that holds what another does. */
    async function copyOf(store: TestedStore): Promise<TestedStore> {
      const filled = await begin();
      left.push(filled);
      await fill(filled.target, store.transfer);
      await filled.target.finish();
      await filled.target.close();
      const copy = await filled.open();
      left.unshift(copy);
      return copy;
    }

    const page = { limit: 1000, after: null };

    test('what was read from a store and filled into another is read from that one the same', async () => {
      await furnish(source);
      const before = await contentsOf(source.transfer);
      expect(before.length).toBeGreaterThan(20);
      const copy = await copyOf(source);
      expect(await contentsOf(copy.transfer)).toEqual(before);
      // Reading changes nothing.
      expect(await contentsOf(source.transfer)).toEqual(before);
    });

    test('a copy answers everything as the original does', async () => {
      await furnish(source);
      const copy = await copyOf(source);
      const asked: ((store: TestedStore) => Promise<unknown>)[] = [
        s => s.tokens.find(['rotated']),
        s => s.tokens.find(['digest-of-plain']),
        s => s.tokens.find(['digest-of-revoked']),
        s => s.tokens.find(['unknown', 'digest-of-of-acme']),
        s => s.tokens.getToken('of-gone'),
        s => s.tokens.getToken('of-marked'),
        s => s.tokens.getAccount('gone'),
        s => s.tokens.getOwner('gone'),
        s => s.tokens.getOwner('acme'),
        s => s.tokens.listRoles(),
        s => s.tokens.getRole('none'),
        s => s.tokens.listAccounts(page),
        s => s.tokens.countLive('marked'),
        s => s.tokens.countLive('acme'),
        s => s.tokens.findCreation({ key: 'k1', body: 'b1', expiresAt: 0 }),
        s => s.tokens.findCreation({ key: 'k2', body: 'b2', expiresAt: 0 }),
        s => s.usage.totals(['plain', 'declared', 'of-acme']),
        s => s.usage.series('plain', 'hour', 0, made * 2),
        s => s.usage.series('plain', 'day', 0, made * 2),
        s => s.keepChecksumKeys([]),
        ...(['token', 'account'] as const).map(kind => async (s: TestedStore) => {
          const states = await s.limits.read({ kind, id: kind === 'token' ? 'plain' : 'acme' }, 1, []);
          // What is out in the original may be spent, and is in a copy.
          return states.map(({ limit, spent, burned, leased, remaining }) => ({
            limit,
            used: spent + burned + leased,
            remaining,
          }));
        }),
        s => s.tokens.listEvents({ ...page, kind: 'token', id: 'plain' }),
        s => s.tokens.listEvents({ ...page, kind: 'account', id: 'gone' }),
        ...['first', 'none', 'order'].map(id => (s: TestedStore) => s.tokens.listEvents({ ...page, kind: 'role', id })),
        ...(
          [
            {},
            { state: 'revoked' },
            { owner: 'acme' },
            { tag: 'red' },
            { kind: 'legacy' },
            { prefix: 'token p' },
          ] as const
        ).map(filter => async (s: TestedStore) => (await s.tokens.listTokens({ ...page, ...filter })).items),
      ];
      for (const [i, ask] of asked.entries()) expect(await ask(copy), `question ${i}`).toEqual(await ask(source));
      for (const { state } of await copy.examine()) expect(state).not.toBe('bad');
    });

    test('a copy is another store: its identity and epoch are new, and changes go on in it', async () => {
      await furnish(source);
      const copy = await copyOf(source);
      expect(copy.identity).not.toBe(source.identity);
      const head = await copy.feed.head();
      expect(head.epoch).not.toBe((await source.feed.head()).epoch);
      expect(await copy.feed.read(await source.feed.head(), 0)).toMatchObject({ kind: 'gap' });
      expect(await copy.feed.read(head, 0)).toEqual({ kind: 'events', events: [], cursor: head, complete: true });

      expect(await copy.tokens.createToken(aToken('plain'), anAudit('create'), null)).toEqual({ kind: 'id_exists' });
      const twin = aToken('twin', { digest: 'rotated' });
      expect(await copy.tokens.createToken(twin, anAudit('create'), null)).toEqual({ kind: 'digest_exists' });
      const known = (await copy.tokens.getToken('plain'))!.token;
      const renamed = changed(known, { name: 'renamed' });
      expect(await copy.tokens.replaceToken(renamed, known.version, anAudit('update'))).toMatchObject({ kind: 'done' });
      await copy.tokens.createToken(aToken('later'), anAudit('create'), null);
      expect(await copy.feed.read(head, 0)).toMatchObject({ events: [{ id: 'plain' }, { id: 'later' }] });
      const { items } = await copy.tokens.listEvents({ ...page, kind: 'token', id: 'plain' });
      expect(items.map(({ action }) => action)).toEqual(['create', 'rotate', 'update']);
      expect(items.map(({ id }) => id)).toEqual(items.map(({ id }) => id).toSorted((a, b) => a - b));
      expect((await copy.tokens.listTokens(page)).items.at(-1)!.token.id).toBe('later');

      const first = (await copy.tokens.getRole('first'))!;
      expect(await copy.tokens.putRole(changed(first, { deleted: true }), 1, anAudit('delete'))).toEqual({
        kind: 'held',
        accounts: ['acme'],
      });
      const none = (await copy.tokens.getRole('none'))!;
      await copy.tokens.putRole(changed(none, { deleted: false }), none.version, anAudit('create'));
      expect((await copy.tokens.listRoles()).map(({ id }) => id)).toEqual(['third', 'first', 'second', 'none']);
    });

    test('a copy of an empty store is an empty store', async () => {
      const copy = await copyOf(source);
      expect(await contentsOf(copy.transfer)).toEqual([]);
      await copy.tokens.createToken(aToken('a'), anAudit('create'), null);
      expect(await copy.tokens.find(['digest-of-a'])).toMatchObject({ index: 0 });
    });

    test('what changes while a store is read is in what was read, whole', async () => {
      await furnish(source);
      for (let i = 0; i < 30; i++) await source.tokens.createToken(aToken(`t${i}`), anAudit('create'), null);
      const filled = await begin();
      left.push(filled);
      let step = 0;
      const replaced: StoreRecord[] = [];
      for await (const records of source.transfer.dump()) {
        replaced.push(...(await filled.target.add(records)));
        if (step === 5) continue;
        // Of each kind of change one with every page, up to the one that brings what has changed.
        const id = `t${step}`;
        const { token } = (await source.tokens.getToken(id))!;
        const state = step % 3 === 0 ? 'revoked' : 'enabled';
        const audit = anAudit(`step ${step}`);
        await source.tokens.replaceToken(changed(token, { digest: `new-${id}`, state }), 1, audit);
        // A digest that has just become free goes to another token.
        await source.tokens.createToken(aToken(`n${step}`, { digest: token.digest }), audit, null);
        await source.tokens.putRole(aRole(`r${step}`), 0, audit);
        await source.tokens.putAccount(anAccount(`a${step}`, { roles: [`r${step}`, 'first'] }), 0, audit);
        await source.tokens.putAccount(anAccount(`a${step}`, { deleted: true, version: 2 }), 1, audit);
        await source.tokens.putAccount(anAccount(`b${step}`, { roles: ['second', `r${step}`] }), 0, audit);
        await source.tokens.putRole(aRole(`gone${step}`), 0, audit);
        await source.tokens.putRole(changed(aRole(`gone${step}`), { deleted: true }), 1, audit);
        const live = (await source.tokens.listRoles()).map(role => role.id);
        await source.tokens.orderRoles(live.toReversed(), audit);
        await source.tokens.putRole(changed(aRole(`r${step}`), { name: 'renamed' }), 1, audit);
        step++;
      }
      expect(step).toBe(5);
      expect(replaced.length).toBeGreaterThan(0);
      expect(await contentsOf(filled.target)).toEqual(await contentsOf(source.transfer));
      await filled.target.finish();
      await filled.target.close();
      const copy = await filled.open();
      left.unshift(copy);
      expect(await contentsOf(copy.transfer)).toEqual(await contentsOf(source.transfer));
      expect(await copy.tokens.listRoles()).toEqual(await source.tokens.listRoles());
      for (let i = 0; i < step; i++) {
        expect(await copy.tokens.find([`digest-of-t${i}`])).toMatchObject({ token: { id: `n${i}` } });
        expect(await copy.tokens.find([`new-t${i}`])).toMatchObject({ token: { id: `t${i}` } });
        expect(await copy.tokens.getOwner(`b${i}`)).toEqual(await source.tokens.getOwner(`b${i}`));
      }
      for (const { name: what, state, detail } of await copy.examine())
        expect([what, state, detail]).not.toContain('bad');
    });

    test('more than fits in any page is read to its end, and each event once', async () => {
      const count = 1203;
      const all = Array.from({ length: count }, (_, i) => aToken(`t${i}`));
      await Promise.all(all.map(token => source.tokens.createToken(token, anAudit('create'), null)));
      let busy = all[0]!;
      for (let i = 0; i < 230; i++) {
        const next = changed(busy, { name: `name ${i}` });
        await source.tokens.replaceToken(next, busy.version, anAudit(`update ${i}`));
        busy = next;
      }
      const hour = made - (made % 3_600_000);
      const usage = { allowed: 1, refused: {}, status: {}, bytesIn: 0, bytesOut: 0, lastUsedAt: made };
      await source.usage.report({
        process: 'p',
        number: 1,
        entries: all.map(({ id }) => ({ tokenId: id, hour, usage })),
      });
      const events: number[] = [];
      const counts: Record<string, number> = {};
      for await (const records of source.transfer.dump()) {
        for (const record of records) {
          counts[record.kind] = (counts[record.kind] ?? 0) + 1;
          if (record.kind === 'event') events.push(record.event.id);
        }
      }
      expect(counts).toEqual({ token: count, event: count + 230, usage: count, position: 1 });
      expect(new Set(events).size).toBe(events.length);
    }, 60_000);

    test('what is being filled is no store to anybody, and goes away when it is given up', async () => {
      await furnish(source);
      const filled = await begin();
      left.push(filled);
      await expect(filled.open()).rejects.toThrow(/no store|migration into it/);
      await fill(filled.target, source.transfer);
      await expect(filled.open()).rejects.toThrow(/no store|migration into it/);
      await expect(filled.again()).rejects.toThrow(/another migration/);
      await filled.target.close();
      await expect(filled.open()).rejects.toThrow('no store');

      const again = await filled.again();
      await fill(again, source.transfer);
      await again.finish();
      await again.close();
      await expect(filled.again()).rejects.toMatchObject({ name: 'TargetTaken' });
      const copy = await filled.open();
      left.unshift(copy);
      expect(await contentsOf(copy.transfer)).toEqual(await contentsOf(source.transfer));
    });
  });
}
