import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import type { Cursor } from '../../src/ports/change-feed.ts';
import type { FeedEvent } from '../../src/ports/token-store.ts';
import { fileName } from '../../src/stores/embedded/database.ts';
import { openEmbeddedStore } from '../../src/stores/embedded/open.ts';
import type { Store } from '../../src/stores/store.ts';
import { temporaryFolder } from '../support/embedded.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { randomFrom, seed } from '../support/random.ts';
import { StoreChild } from '../support/store-child.ts';
import { patience } from '../support/tiers.ts';

/** How often a process is killed, over all folders. */
const kills = Number(process.env['POSTERN_KILLS'] ?? 60);
/** How often on one folder, which is made by the first process. */
const killsOfFolder = 20;
/** Folders that are written and killed side by side. */
const lanes = 2;
/** Milliseconds: from the start, which includes making or recovering the file, or in full swing. */
const moments = { starting: 250, writing: 60 } as const;

interface Counts {
  acknowledged: number;
  /** Done, without an answer that was heard. */
  unanswered: number;
}

test(
  `a store whose process is killed at any moment keeps what it acknowledged, whole (seed ${seed})`,
  async () => {
    const counts: Counts = { acknowledged: 0, unanswered: 0 };
    let folders = Math.ceil(kills / killsOfFolder);
    const lane = async (): Promise<void> => {
      while (folders > 0) await killAndCheck(folders--, counts);
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    console.log(`POSTERN_SEED=${seed} POSTERN_KILLS=${kills}`, counts);
    expect(counts.acknowledged).toBeGreaterThan(kills);
  },
  patience(240_000),
);

/** Makes a folder, kills one process after the other on it, and checks after each what it left. */
async function killAndCheck(number: number, counts: Counts): Promise<void> {
  const random = randomFrom(seed + number);
  const folder = temporaryFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  let cursor: Cursor | null = null;
  for (let round = 0; round < killsOfFolder; round++) {
    const run = `run${number}x${round}`;
    const child = new StoreChild(folder, run);
    if (round === 0 || random() < 0.3) await pause(random() * moments.starting);
    else {
      await child.says('open');
      await pause(random() * moments.writing);
    }
    await child.kill();

    const store = await openEmbeddedStore({ folder, clock: new ManualClock(), deadlineMs: 10_000 });
    cursor ??= { epoch: (await store.feed.head()).epoch, seq: 0 };
    const events = await readAll(store, cursor);
    await expectWhole(store, run, child, events);
    const acknowledged = child.said.filter(saying => saying.kind !== 'open').length;
    counts.acknowledged += acknowledged;
    counts.unanswered += events.length - acknowledged;
    cursor = await store.feed.head();
    await store.close();
  }
  expectSound(folder);
}

/** Every acknowledged mutation is there; every mutation that is there has its state, its feed and its audit event. */
async function expectWhole(store: Store, run: string, child: StoreChild, events: readonly FeedEvent[]): Promise<void> {
  const byId = Map.groupBy(events, event => event.id);
  for (const saying of child.said) {
    if (saying.kind === 'failed') throw new Error(saying.message);
    if (saying.kind === 'open') continue;
    const versions = byId.get(saying.id)?.map(event => event.version) ?? [];
    expect(versions, `${saying.kind} ${saying.id}`).toContain(saying.kind === 'created' ? 1 : 2);
  }

  const checks = [...byId].map(async ([id, ofToken]) => {
    const [found, audit] = await Promise.all([
      store.tokens.find([`digest-of-${id}`]),
      store.tokens.listEvents({ kind: 'token', id, limit: 10, after: null }),
    ]);
    const revoked = ofToken.length === 2;
    expect(ofToken.map(event => event.version)).toEqual(revoked ? [1, 2] : [1]);
    expect(audit.items.map(event => event.action)).toEqual(revoked ? ['create', 'revoke'] : ['create']);
    expect(found?.token).toMatchObject({ id, version: ofToken.length, state: revoked ? 'revoked' : 'enabled' });
  });
  await Promise.all(checks);

  const listed: string[] = [];
  for (const query of [{}, { state: 'revoked' }] as const) {
    const page = await store.tokens.listTokens({ ...query, tag: run, limit: 100_000, after: null });
    listed.push(...page.items.map(item => item.token.id));
  }
  expect(listed.sort()).toEqual([...byId.keys()].sort());
}

async function readAll(store: Store, from: Cursor): Promise<FeedEvent[]> {
  const events: FeedEvent[] = [];
  for (let cursor = from; ; ) {
    const answer = await store.feed.read(cursor, 0);
    if (answer.kind === 'gap') throw new Error('a gap');
    if (answer.events.length === 0) return events;
    for (const event of answer.events) expect(event.seq).toBe(from.seq + events.push(event));
    cursor = answer.cursor;
  }
}

/** The file itself: sound to SQLite, and with as many audit events as there were changes. */
function expectSound(folder: string): void {
  const db = new DatabaseSync(join(folder, fileName));
  expect(db.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
  const counts = db.prepare('SELECT (SELECT max(seq) FROM feed) AS feed, (SELECT count(*) FROM audit) AS audit').get();
  expect(counts?.['audit']).toBe(counts?.['feed'] ?? 0);
  db.close();
}
