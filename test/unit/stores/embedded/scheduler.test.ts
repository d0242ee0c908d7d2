import { rmSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openDatabase } from '../../../../src/stores/embedded/database.ts';
import { makeHandlers } from '../../../../src/stores/embedded/handlers.ts';
import { type CallOf, monotonic, type Reply } from '../../../../src/stores/embedded/messages.ts';
import type { Arguments, Operation } from '../../../../src/stores/embedded/operations.ts';
import { Scheduler } from '../../../../src/stores/embedded/scheduler.ts';
import { anAudit, aToken } from '../../../contract/harness.ts';
import { temporaryFolder } from '../../../support/embedded.ts';

let folder: string;
let db: DatabaseSync;
let replies: Reply[];
let scheduler: Scheduler;
let lastId: number;
beforeEach(() => {
  folder = temporaryFolder();
  db = openDatabase(folder, true);
  replies = [];
  lastId = 0;
  const usageRetention = { hours: 1e15, days: 1e15 };
  scheduler = new Scheduler(db, makeHandlers(db, { feedEvents: 1000, usageRetention }), sent => replies.push(...sent));
});
afterEach(() => {
  db.close();
  rmSync(folder, { recursive: true });
});

function ask<K extends Operation>(operation: K, args: Arguments<K>, deadline = monotonic() + 60_000): number {
  const call: CallOf<K> = { kind: 'call', id: ++lastId, operation, args, deadline };
  scheduler.accept(call as Parameters<Scheduler['accept']>[0]);
  return lastId;
}
const create = (id: string, deadline?: number): number =>
  ask('createToken', [aToken(id), anAudit('create'), null, 0], deadline);
const run = (): void => {
  while (scheduler.turn());
};
const replyTo = (id: number): Reply | undefined => replies.find(reply => reply.id === id);
/** What the file has, as a look-up sees it. */
const has = (id: string): boolean => {
  const asked = ask('find', [[`digest-of-${id}`], 0]);
  run();
  const reply = replyTo(asked);
  if (reply?.kind !== 'answer') throw new Error('no answer');
  return reply.answer !== null;
};
const tableSize = (table: string): unknown => db.prepare(`SELECT count(*) AS count FROM ${table}`).get()?.['count'];

describe('the order of work', () => {
  test('look-ups that wait are answered before other reads, and those before mutations', () => {
    const mutation = create('a');
    const read = ask('getToken', ['a']);
    const lookup = ask('find', [['digest-of-a'], 0]);
    run();
    expect(replies.map(reply => reply.id)).toEqual([lookup, read, mutation]);
  });

  test('mutations that arrive together share a transaction, and are answered after its commit', () => {
    const exec = vi.spyOn(db, 'exec');
    const commits = (): number => exec.mock.calls.filter(([sql]) => sql === 'COMMIT').length;
    const answered: number[] = [];
    scheduler = new Scheduler(
      db,
      makeHandlers(db, { feedEvents: 1000, usageRetention: { hours: 1, days: 1 } }),
      sent => {
        for (const _ of sent) answered.push(commits());
      },
    );
    for (let i = 0; i < 20; i++) create(`t${i}`);
    run();
    expect(answered).toHaveLength(20);
    expect(answered[0]).toBe(1);
    expect(commits()).toBeLessThan(20);
  });

  test('a transaction takes at most 500 entries of usage', () => {
    const usage = { allowed: 1, refused: {}, status: {}, bytesIn: 0, bytesOut: 0, lastUsedAt: 0 };
    const entries = Array.from({ length: 300 }, (_, i) => ({ tokenId: `t${i}`, hour: 0, usage }));
    for (let number = 1; number <= 3; number++) {
      ask('reportUsage', [{ process: `p${number}`, number, from: 0, last: true, entries }, 0]);
    }
    expect(scheduler.turn()).toBe(true);
    expect(replies).toHaveLength(1);
    run();
    expect(replies).toHaveLength(3);
  });
});

describe('deadlines', () => {
  test('a call whose deadline has passed is not carried out, nor answered', () => {
    const past = monotonic() - 1;
    create('late', past);
    ask('find', [['digest-of-late'], 0], past);
    ask('getToken', ['late'], past);
    create('in-time');
    run();
    expect(replies.map(reply => reply.id)).toEqual([4]);
    expect(has('late')).toBe(false);
    expect(has('in-time')).toBe(true);
  });
});

describe('what goes wrong', () => {
  test('a mutation that fails undoes itself alone', () => {
    const first = create('a');
    const broken = aToken('b', { createdAt: 'yesterday' as unknown as number });
    const second = ask('createToken', [broken, anAudit('create'), null, 0]);
    const third = create('c');
    run();
    expect([first, second, third].map(id => replyTo(id)?.kind)).toEqual(['answer', 'unavailable', 'answer']);
    expect([has('a'), has('b'), has('c')]).toEqual([true, false, true]);
    expect([tableSize('feed'), tableSize('audit'), tableSize('digests')]).toEqual([2, 2, 2]);
  });

  test('a file that cannot be written refuses every mutation, and reads go on', () => {
    create('a');
    run();
    db.exec('PRAGMA query_only = 1');
    const refused = [create('b'), create('c')];
    run();
    for (const id of refused) expect(replyTo(id)).toMatchObject({ kind: 'unavailable' });
    expect([has('a'), has('b')]).toEqual([true, false]);
    db.exec('PRAGMA query_only = 0');
    create('d');
    run();
    expect(has('d')).toBe(true);
  });

  test('a full disk refuses the whole batch, and reads go on', () => {
    create('a');
    run();
    db.exec('PRAGMA max_page_count = 1');
    const refused = Array.from({ length: 200 }, (_, i) => create(`more-${i}`));
    run();
    const kinds = new Set(refused.map(id => replyTo(id)?.kind));
    expect(kinds).toContain('unavailable');
    expect(replyTo(refused.at(-1)!)).toMatchObject({ why: expect.stringContaining('its disk takes no writes') });
    expect(has('a')).toBe(true);
    for (const [i, id] of refused.entries()) expect(has(`more-${i}`)).toBe(replyTo(id)?.kind === 'answer');
    expect(tableSize('audit')).toBe(tableSize('tokens'));
  });

  test('a commit whose outcome only the file knows ends the thread, and answers nothing', () => {
    create('a');
    const exec = db.exec.bind(db);
    vi.spyOn(db, 'exec').mockImplementation(sql => {
      // What SQLite says when an fsync has failed.
      if (sql === 'COMMIT') throw Object.assign(new Error('disk I/O error'), { errcode: 1034 });
      exec(sql);
    });
    expect(() => scheduler.turn()).toThrow('disk I/O error');
    expect(replies).toEqual([]);
  });
});
