import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fileName, openDatabase } from '../../../../src/stores/embedded/database.ts';
import { StoreVersionUnknown } from '../../../../src/stores/embedded/faults.ts';
import { openEmbeddedStore } from '../../../../src/stores/embedded/open.ts';
import { type Migration, migrate, migrations, readMeta } from '../../../../src/stores/embedded/schema.ts';
import { anAccount, anAudit, aRole, aToken, changed } from '../../../contract/harness.ts';
import { temporaryFolder } from '../../../support/embedded.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { listOf } from '../../../support/transfer.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = temporaryFolder();
  file = join(folder, fileName);
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = () => openEmbeddedStore({ folder, clock: new ManualClock(), deadlineMs: 10_000 });
const versionOf = (db: DatabaseSync): unknown => db.prepare('PRAGMA user_version').get()?.['user_version'];

/** A file as the first released version left it, with one token. */
function versionOne(): DatabaseSync {
  mkdirSync(folder, { recursive: true });
  const db = new DatabaseSync(file);
  migrate(db, migrations.slice(0, 1));
  const { id, version, kind, state, name, createdAt, digest } = aToken('old');
  const doc = JSON.stringify(aToken('old'));
  db.prepare(
    'INSERT INTO tokens (seq, id, version, kind, state, name, created_at, doc) VALUES (1, ?, ?, ?, ?, ?, ?, ?)',
  ).run(id, version, kind, state, name, createdAt, doc);
  db.prepare('INSERT INTO digests (digest, token) VALUES (?, 1)').run(digest);
  db.prepare("INSERT INTO feed (at, kind, subject, version, digests) VALUES (1, 'token', ?, 1, ?)").run(
    id,
    JSON.stringify([digest]),
  );
  return db;
}

/** A step that a later version might take. */
const next: Migration = db => db.exec("ALTER TABLE tokens ADD COLUMN note TEXT NOT NULL DEFAULT 'none'");

describe('migrations', () => {
  test('a file of the first version is brought up to date, with what is in it', async () => {
    const before = versionOne();
    const identity = readMeta(before, 'identity');
    before.close();
    const store = await open();
    expect(store.identity).toBe(identity);
    expect(await store.tokens.find(['digest-of-old'])).toMatchObject({ token: aToken('old') });
    const { epoch, seq } = await store.feed.head();
    expect(seq).toBe(1);
    const events = [{ id: 'old', digests: ['digest-of-old'], awaited: false }];
    expect(await store.feed.read({ epoch, seq: 0 }, 0)).toMatchObject({ events });
    await store.close();
  });

  test('documents of earlier versions read as if they had what came later, and can be changed', async () => {
    const db = versionOne();
    const { mode: _, constraints: __, limits: ______, ...token } = aToken('old', { owner: 'acme' });
    db.prepare('UPDATE tokens SET owner = ?, doc = ?').run('acme', JSON.stringify(token));
    const { roles: ___, permissions: ____, owns: _____, limits: _______, ...account } = anAccount('acme');
    db.prepare("INSERT INTO accounts (id, version, deleted, doc) VALUES ('acme', 1, 0, ?)").run(
      JSON.stringify(account),
    );
    db.close();
    const store = await open();
    const [whole, owner] = [aToken('old', { owner: 'acme' }), anAccount('acme')];
    const pair = { token: whole, account: owner };
    expect(await store.tokens.find(['digest-of-old'])).toEqual({ ...pair, roles: [], index: 0 });
    expect(await store.tokens.getToken('old')).toEqual(pair);
    expect((await store.tokens.listTokens({ limit: 1, after: null })).items).toEqual([pair]);
    expect(await store.tokens.getAccount('acme')).toEqual(owner);
    expect(await store.tokens.getOwner('acme')).toEqual({ account: owner, roles: [] });
    expect((await store.tokens.listAccounts({ limit: 1, after: null })).items).toEqual([owner]);
    const records = (await listOf(store.transfer.dump())).flat();
    expect(records).toContainEqual({ kind: 'token', token: whole });
    expect(records).toContainEqual({ kind: 'account', account: owner });
    await store.tokens.putRole(aRole('ops'), 0, anAudit('create'));
    const outcome = await store.tokens.putAccount(changed(owner, { roles: ['ops'] }), 1, anAudit('update'));
    expect(outcome.kind).toBe('done');
    expect(await store.tokens.find(['digest-of-old'])).toMatchObject({ roles: [aRole('ops')] });
    await store.close();
  });

  test('only the missing steps are taken, in their order, and each once', () => {
    const db = versionOne();
    const steps = [...migrations, next];
    migrate(db, steps);
    migrate(db, steps);
    expect(versionOf(db)).toBe(migrations.length + 1);
    expect(db.prepare('SELECT id, note FROM tokens').all()).toEqual([{ id: 'old', note: 'none' }]);
    db.close();
  });

  test('a step that fails leaves the version before it, whole', () => {
    const db = versionOne();
    const broken: Migration = file => {
      next(file);
      throw new Error('broken');
    };
    expect(() => migrate(db, [...migrations, broken])).toThrow('broken');
    expect(versionOf(db)).toBe(migrations.length);
    expect(() => db.prepare('SELECT note FROM tokens')).toThrow('no such column');
    db.close();
  });
});

describe('files that are not ours to read', () => {
  test('a newer version is refused, and left as it is', async () => {
    const db = versionOne();
    db.exec('PRAGMA user_version = 999');
    db.close();
    await expect(open()).rejects.toThrow(StoreVersionUnknown);
    await expect(open()).rejects.toThrow(`the store in ${folder} cannot be read: its schema is version 999`);
    const after = new DatabaseSync(file);
    expect(versionOf(after)).toBe(999);
    after.close();
  });

  test("another program's database is refused, and left as it is", async () => {
    const db = new DatabaseSync(file);
    db.exec('CREATE TABLE theirs (a)');
    db.close();
    await expect(open()).rejects.toThrow(StoreVersionUnknown);
    const after = new DatabaseSync(file);
    expect(after.prepare('SELECT name FROM sqlite_schema').all()).toEqual([{ name: 'theirs' }]);
    after.close();
  });

  test('a file that is no database is refused', async () => {
    writeFileSync(file, 'not a database'.repeat(1000));
    await expect(open()).rejects.toThrow(StoreVersionUnknown);
  });

  test('an empty file, left by a crash at the very beginning, is made a store', async () => {
    writeFileSync(file, '');
    const store = await open();
    expect(store.identity).toMatch(/^[0-9a-f]{32}$/);
    await store.close();
  });

  test('where a store has to be, neither nothing nor an empty file is one', () => {
    expect(() => openDatabase(folder, false)).toThrow('is gone');
    writeFileSync(file, '');
    expect(() => openDatabase(folder, false)).toThrow('is empty');
  });

  test('two stores have two identities and two epochs', async () => {
    const metas = ['a', 'b'].map(name => {
      const db = openDatabase(join(folder, name), true);
      const meta = [readMeta(db, 'identity'), readMeta(db, 'epoch')];
      db.close();
      return meta;
    });
    expect(new Set(metas.flat()).size).toBe(4);
  });
});
