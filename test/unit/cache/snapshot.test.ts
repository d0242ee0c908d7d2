import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { instantOf } from '../../../src/cache/freshness.ts';
import type { Remembered } from '../../../src/cache/recall.ts';
import { type Contents, Snapshot, SnapshotTaken } from '../../../src/cache/snapshot/snapshot.ts';
import type { FeedEvent } from '../../../src/ports/token-store.ts';
import { anAccount, aRole, aToken } from '../../contract/harness.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const key = randomBytes(32);
const folders: string[] = [];
const opened: Snapshot[] = [];
/** What was closed may have been told of a change since, which opens its file again. */
const ever: Snapshot[] = [];
afterEach(async () => {
  opened.length = 0;
  await Promise.all(ever.splice(0).map(snapshot => snapshot.close()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function aFolder(): string {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'postern-')), 'snapshot');
  folders.push(path.dirname(folder));
  return folder;
}

function remembered(name: string, owner: string | null = null): Remembered {
  const { digest, previous: _, ...token } = aToken(name, { digest: `d-${name}`, owner });
  return { digest, token, account: owner, secretUntil: null };
}

const event = (seq: number, kind: FeedEvent['kind'], id: string): FeedEvent => ({
  seq,
  kind,
  id,
  at: 0,
  version: 2,
  digests: [],
  awaited: false,
});

const contents = (clock: ManualClock, more: Partial<Contents> = {}): Contents => ({
  store: 's1',
  cursor: { epoch: 'e', seq: 10 },
  proven: instantOf(clock),
  clockOffsetMs: 0,
  cutOffMs: 60_000,
  checksumKeys: ['ab'],
  owners: [
    { account: anAccount('acme', { roles: ['r1', 'r2'] }), roles: [aRole('r2'), aRole('r1')] },
    { account: anAccount('umbrella', { roles: ['r1'] }), roles: [aRole('r1', { version: 2 })] },
    { account: anAccount('initech'), roles: [] },
  ],
  tokens: [remembered('a'), remembered('b', 'acme')],
  ...more,
});

/** Opens a folder, which whoever had it lets go of. */
async function open(folder: string, clock: ManualClock, process = 'p1', keys = [key]) {
  await Promise.all(opened.splice(0).map(snapshot => snapshot.close()));
  const result = await Snapshot.open(folder, process, keys, clock);
  opened.push(result.snapshot);
  ever.push(result.snapshot);
  return result;
}

/** A folder in which a process has left a snapshot. */
async function written(more: Partial<Contents> = {}) {
  const clock = new ManualClock();
  const folder = aFolder();
  const { snapshot } = await open(folder, clock);
  await snapshot.write(contents(clock, more), key);
  return { clock, folder, snapshot, file: path.join(folder, 'snapshot') };
}

describe('a snapshot', () => {
  test('gives back what was written: tokens with their owners, the position, when it was proved', async () => {
    const { clock, folder } = await written();
    clock.advance(5000);
    const { found, refused } = await open(folder, clock, 'p2');
    expect(refused).toBeNull();
    expect(found).toMatchObject({ store: 's1', process: 'p1', cursor: { epoch: 'e', seq: 10 }, checksumKeys: ['ab'] });
    expect(clock.monotonic() - found!.recall.proven.monotonic).toBe(5000);
    expect(found!.recall.find(['other', 'd-b'])).toMatchObject({ token: { id: 'b' }, account: { id: 'acme' } });
    expect(found!.recall.find(['other'])).toBeNull();
    expect([...found!.recall.owners]).toEqual(contents(clock).owners);
    expect(found!.recall.find(['d-b'])!.roles).toEqual([aRole('r2'), aRole('r1')]);
  });

  test.each([
    ['a role', 'r2', ['d-a', 'd-c']],
    ['the order of roles', 'order', ['d-a', 'd-c']],
    ['a role that nobody has', 'other', ['d-a', 'd-b', 'd-c']],
  ])('is served without what a later change concerns: %s', async (_, id, left) => {
    const tokens = [remembered('a'), remembered('b', 'acme'), remembered('c', 'initech')];
    const { clock, folder, snapshot } = await written({ tokens });
    await snapshot.bury([event(11, 'role', id)]);
    const { found } = await open(folder, clock, 'p2');
    expect([...found!.recall.tokens].map(({ digest }) => digest)).toEqual(left);
    expect(found!.recall.account('acme') !== null).toBe(left.includes('d-b'));
  });

  test('is not there where none was written', async () => {
    expect(await open(aFolder(), new ManualClock())).toMatchObject({ found: null, refused: null });
  });

  test('can be read by its owner alone', async () => {
    const { folder, file } = await written();
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test('is as old as the older of both clocks says', async () => {
    // The store's clock was two seconds behind.
    const { clock, folder } = await written({ clockOffsetMs: -2000 });
    clock.advance(1000);
    const { found } = await open(folder, clock);
    expect(clock.monotonic() - found!.recall.proven.monotonic).toBe(3000);
  });

  test.each([
    ['this clock was set back', 0],
    ["the store's clock was ahead", 60_000],
  ])('that is from the future is refused: %s', async (_, clockOffsetMs) => {
    const { clock, folder } = await written({ clockOffsetMs });
    if (clockOffsetMs === 0) clock.stepWall(-1);
    expect(await open(folder, clock)).toMatchObject({ found: null, refused: expect.stringContaining('future') });
  });

  test('is refused under other peppers, and taken under any of several', async () => {
    const { clock, folder } = await written();
    const other = randomBytes(32);
    expect(await open(folder, clock, 'p2', [other])).toMatchObject({
      found: null,
      refused: expect.stringContaining('seal'),
    });
    expect((await open(folder, clock, 'p2', [other, key])).found).not.toBeNull();
  });

  test('is refused when any byte of it is another, or missing', async () => {
    const { clock, folder, file } = await written();
    const whole = readFileSync(file);
    for (let i = 0; i < whole.length; i += 7) {
      const changed = Buffer.from(whole);
      changed[i] = changed[i]! ^ 1;
      writeFileSync(file, changed);
      expect((await open(folder, clock)).found, `byte ${i}`).toBeNull();
    }
    for (const length of [0, 1, 64, 65, whole.length >> 1, whole.length - 1]) {
      writeFileSync(file, whole.subarray(0, length));
      expect((await open(folder, clock)).found, `${length} bytes`).toBeNull();
    }
    writeFileSync(file, whole);
    expect((await open(folder, clock)).found).not.toBeNull();
  });

  test('holds nothing under a digest that a secret could be told from', async () => {
    const { file } = await written();
    const lines = readFileSync(file, 'utf8').split('\n');
    expect(lines.filter(line => line.includes('"token"'))).toHaveLength(2);
    expect(Object.keys(JSON.parse(lines.find(line => line.includes('"token"'))!).token).sort()).toEqual([
      'account',
      'digest',
      'secretUntil',
      'token',
    ]);
  });
});

describe('a change after a snapshot', () => {
  test('is on disk when it is told: the next process does not serve what it touches', async () => {
    const { clock, folder, snapshot } = await written();
    await snapshot.bury([event(11, 'token', 'a')]);
    const { found } = await open(folder, clock, 'p2');
    expect(found!.recall.find(['d-a'])).toBeNull();
    expect(found!.recall.find(['d-b'])).not.toBeNull();
    await snapshot.bury([event(12, 'account', 'acme')]);
    expect((await open(folder, clock, 'p3')).found!.recall.size).toBe(0);
  });

  test('is remembered by the process that comes next, whose snapshot it is now', async () => {
    const { clock, folder, snapshot } = await written();
    await snapshot.bury([event(11, 'token', 'a')]);
    const next = await open(folder, clock, 'p2');
    await next.snapshot.bury([event(12, 'token', 'b')]);
    expect((await open(folder, clock, 'p3')).found!.recall.size).toBe(0);
  });

  test('that a later snapshot knows of is forgotten; one that came while it was written is not', async () => {
    const { clock, folder, snapshot } = await written();
    await snapshot.bury([event(11, 'token', 'a')]);
    clock.advance(10);
    const writing = snapshot.write(contents(clock, { cursor: { epoch: 'e', seq: 11 } }), key);
    const burying = snapshot.bury([event(12, 'token', 'b')]);
    await Promise.all([writing, burying]);
    const { found } = await open(folder, clock, 'p2');
    expect(found!.recall.find(['d-a'])).not.toBeNull();
    expect(found!.recall.find(['d-b'])).toBeNull();
    expect(readFileSync(path.join(folder, 'tombstones'), 'utf8').split('\n')).toHaveLength(2);
  });

  test('that was only half written was never told', async () => {
    const { clock, folder, snapshot } = await written();
    await snapshot.bury([event(11, 'token', 'a')]);
    const file = path.join(folder, 'tombstones');
    writeFileSync(file, `${readFileSync(file, 'utf8')}{"seq":12,"kind":"to`);
    const { snapshot: next, found } = await open(folder, clock, 'p2');
    expect(found!.recall.find(['d-b'])).not.toBeNull();
    // What comes next does not stand on its line.
    await next.bury([event(12, 'token', 'b')]);
    const { found: last } = await open(folder, clock, 'p3');
    expect(['d-a', 'd-b'].map(digest => last!.recall.find([digest]))).toEqual([null, null]);
  });

  test('is told from another of the same number, as there is after changes were lost', async () => {
    const { clock, folder, snapshot } = await written();
    await snapshot.bury([event(11, 'token', 'a')]);
    await snapshot.bury([event(11, 'token', 'b')]);
    expect((await open(folder, clock, 'p2')).found!.recall.find(['d-b'])).toBeNull();
  });

  test('that cannot be read takes the snapshot with it', async () => {
    const { clock, folder, snapshot } = await written();
    await snapshot.bury([event(11, 'token', 'a')]);
    writeFileSync(path.join(folder, 'tombstones'), 'nonsense\n');
    expect((await open(folder, clock, 'p2')).found).toBeNull();
  });

  test('that cannot be written down takes the snapshot with it', async () => {
    const { clock, folder, snapshot, file } = await written();
    // Where a folder is, no file can be opened.
    rmSync(path.join(folder, 'tombstones'), { force: true });
    mkdirSync(path.join(folder, 'tombstones'));
    await expect(snapshot.bury([event(11, 'token', 'a')])).rejects.toThrow();
    expect(readdirSync(folder)).not.toContain('snapshot');
    expect((await open(folder, clock, 'p2').catch(() => null))?.found ?? null).toBeNull();
    expect(file).toContain(folder);
  });
});

describe('a gap', () => {
  test('leaves nothing to serve from, nor does what was being written', async () => {
    const { clock, folder, snapshot } = await written();
    clock.advance(10);
    const writing = snapshot.write(contents(clock), key);
    const discarding = snapshot.discard();
    await Promise.all([writing, discarding]);
    expect((await open(folder, clock, 'p2')).found).toBeNull();
    expect(snapshot.proven).toBeNull();
  });

  test('that could not be noted on disk keeps every later change from being told, until it is', async () => {
    const { clock, folder, snapshot, file } = await written();
    const sealed = readFileSync(file);
    // A folder cannot be unlinked: so it is with a file on a disk that refuses.
    rmSync(file);
    mkdirSync(file);
    await expect(snapshot.discard()).rejects.toThrow();
    await expect(snapshot.bury([event(11, 'token', 'b')])).rejects.toThrow();
    await expect(snapshot.bury([])).rejects.toThrow();
    rmSync(file, { recursive: true });
    writeFileSync(file, sealed);
    await snapshot.bury([]);
    expect((await open(folder, clock, 'p2')).found).toBeNull();
  });
});

test('a folder is of one process, for as long as that lives: whoever has it knows that the one before has ended', async () => {
  const { clock, folder, snapshot } = await written();
  await expect(Snapshot.open(folder, 'p2', [key], clock)).rejects.toThrow(SnapshotTaken);
  await snapshot.close();
  expect((await open(folder, clock, 'p2')).found).toMatchObject({ process: 'p1' });
});

test('a folder that cannot be made is told', async () => {
  const file = aFolder();
  writeFileSync(file, '');
  chmodSync(file, 0o600);
  await expect(open(file, new ManualClock())).rejects.toThrow();
});

test('a folder that others may write to is refused: they could take a revocation away', async () => {
  const folder = aFolder();
  mkdirSync(folder);
  chmodSync(folder, 0o777);
  await expect(open(folder, new ManualClock())).rejects.toThrow('chmod go-w');
});
