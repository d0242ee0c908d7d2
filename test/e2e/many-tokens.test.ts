import { createHash } from 'node:crypto';
import { rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { StoredToken } from '../../src/core/token.ts';
import { openEmbeddedStore } from '../../src/stores/embedded/open.ts';
import { openRedisStore } from '../../src/stores/redis/open.ts';
import type { Store } from '../../src/stores/store.ts';
import { anAccount, anAudit } from '../contract/harness.ts';
import { temporaryFolder } from '../support/embedded.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { randomFrom, seed } from '../support/random.ts';
import { RedisServer } from '../support/redis.ts';
import { patience } from '../support/tiers.ts';

/** Many tokens in one store. The long tier makes a million, and prints what they cost at every power of ten. */

const most = Number(process.env['POSTERN_TOKENS'] ?? 2000);
const sizes = [1000, 10_000, 100_000, 1_000_000].filter(size => size < most).concat(most);
const owners = Math.max(1, Math.floor(most / 100));
const isLong = process.env['POSTERN_LONG'] !== undefined;
const [lookups, lists] = isLong ? [2000, 50] : [100, 5];

interface Kept {
  open(): Promise<Store>;
  /** Bytes that the store takes: on disk, or in memory. */
  bytes(): Promise<number>;
  dispose(): Promise<void>;
}

const deadlines = { deadlineMs: 60_000, mutationDeadlineMs: 60_000 };

async function inFolder(): Promise<Kept> {
  const folder = temporaryFolder();
  const clock = new ManualClock();
  return {
    open: () => openEmbeddedStore({ folder, clock, ...deadlines }),
    bytes: async () =>
      ['postern.db', 'postern.db-wal']
        .map(name => statSync(path.join(folder, name), { throwIfNoEntry: false })?.size ?? 0)
        .reduce((a, b) => a + b),
    dispose: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function onServer(): Promise<Kept> {
  const server = await RedisServer.start();
  const client = server.client();
  const clock = new ManualClock();
  const used = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await client.info('memory'))![1]);
  const before = await used();
  return {
    open: () => openRedisStore({ endpoint: server.endpoint, clock, ...deadlines }),
    bytes: async () => (await used()) - before,
    dispose: () => server.stop(),
  };
}

afterAll(() => RedisServer.stopAll());

const sha = (text: string): string => createHash('sha256').update(text).digest('hex');
const made = Date.UTC(2029, 0, 1);

const theToken = (i: number): StoredToken => ({
  id: `tok_${sha(`id ${i}`).slice(0, 20)}`,
  name: `token ${i}`,
  owner: `account-${i % owners}`,
  kind: 'native',
  hint: 'pst_…wxyz',
  state: 'enabled',
  mode: 'enforce',
  limits: [],
  constraints: {},
  createdAt: made + i,
  updatedAt: made + i,
  notBefore: null,
  expiresAt: i % 10 === 0 ? made * 2 + i : null,
  permissions: ['widgets:read', 'widgets:write'],
  extra: {},
  tags: i % 2 === 0 ? ['even'] : [],
  version: 1,
  digest: sha(`secret ${i}`),
  previous: null,
  sealed: null,
});

const creation = anAudit('create', {
  actor: 'admin.key',
  changes: { name: { from: null, to: 'a token' }, permissions: { from: null, to: ['widgets:read', 'widgets:write'] } },
});

/** Milliseconds that something took. */
async function timed<T>(act: () => Promise<T>): Promise<{ readonly ms: number; readonly answer: T }> {
  const began = performance.now();
  const answer = await act();
  return { ms: performance.now() - began, answer };
}

const at = (share: number, times: readonly number[]): string =>
  times.toSorted((a, b) => a - b)[Math.floor(share * (times.length - 1))]!.toFixed(2);

describe.each([
  ['embedded', inFolder],
  ['redis', onServer],
] as const)('%s', (name, keep) => {
  test(
    `up to ${most} tokens are made, found, listed and kept in a space that grows with them alone`,
    async () => {
      const kept = await keep();
      let store = await kept.open();
      const random = randomFrom(seed);
      const perToken: number[] = [];
      try {
        for (let i = 0; i < owners; i++) await store.tokens.putAccount(anAccount(`account-${i}`), 0, creation);
        // What is closed has nothing left in a log.
        await store.close();
        const base = await kept.bytes();
        store = await kept.open();
        let count = 0;
        for (const size of sizes) {
          const from = count;
          const creating = await timed(async () => {
            const lane = async (): Promise<void> => {
              for (let i = count++; i < size; i = count++) {
                const outcome = await store.tokens.createToken(theToken(i), creation, null);
                if (outcome.kind !== 'done') throw new Error(`token ${i}: ${outcome.kind}`);
              }
            };
            await Promise.all(Array.from({ length: 64 }, lane));
            count = size;
          });

          const finding: number[] = [];
          const missing: number[] = [];
          for (let i = 0; i < lookups; i++) {
            const one = theToken(Math.floor(random() * size));
            const found = await timed(() => store.tokens.find([one.digest]));
            if (found.answer?.token.id !== one.id) throw new Error(`${one.name} was not found`);
            finding.push(found.ms);
            missing.push((await timed(() => store.tokens.find([sha(`nobody ${i}`)]))).ms);
          }

          const pages: number[] = [];
          const filtered: number[] = [];
          for (let i = 0; i < lists; i++) {
            const after = Math.floor(random() * Math.max(0, size - 200));
            const page = await timed(() => store.tokens.listTokens({ limit: 100, after }));
            expect(page.answer.items.map(({ token }) => token.name).toSorted()).toHaveLength(100);
            pages.push(page.ms);
            const number = Math.floor(random() * Math.min(owners, size));
            for (const filter of [{ owner: `account-${number}` }, { prefix: `token ${number}` }]) {
              const listed = await timed(() => store.tokens.listTokens({ limit: 10, after: null, ...filter }));
              expect(listed.answer.items.length).toBeGreaterThan(0);
              filtered.push(listed.ms);
            }
          }

          await store.close();
          const opening = await timed(() => kept.open());
          store = opening.answer;
          expect(await store.feed.head()).toMatchObject({ seq: owners + size });
          const bytes = ((await kept.bytes()) - base) / size;
          perToken.push(bytes);
          const perSecond = (1000 * (size - from)) / creating.ms;
          const figures = [
            `${name} ${size} tokens: ${bytes.toFixed(0)} bytes each`,
            `${perSecond.toFixed(0)} made a second`,
            `found in ${at(0.5, finding)} ms (p50) ${at(0.99, finding)} (p99), absent in ${at(0.5, missing)} ${at(0.99, missing)}`,
            `page of 100 in ${at(0.5, pages)} ${at(0.99, pages)}, filtered in ${at(0.5, filtered)} ${at(0.99, filtered)}`,
            `opened in ${opening.ms.toFixed(0)} ms`,
          ];
          if (isLong) console.log(figures.join('; '));
        }

        const reading = await timed(async () => {
          let tokens = 0;
          for await (const records of store.transfer.dump()) {
            tokens += records.filter(({ kind }) => kind === 'token').length;
          }
          return tokens;
        });
        expect(reading.answer).toBe(most);
        const examining = await timed(() => store.examine());
        for (const { state } of examining.answer) expect(state).not.toBe('bad');
        if (isLong) {
          const [read, looked] = [(reading.ms / 1000).toFixed(1), (examining.ms / 1000).toFixed(1)];
          console.log(`${name} ${most} tokens: read from end to end in ${read} s, examined in ${looked} s`);
        }
        // Space is no matter of chance, as time is.
        expect(perToken.at(-1)!).toBeLessThan(1.3 * perToken[0]!);
      } finally {
        await store.close();
        await kept.dispose();
      }
    },
    patience(60_000),
  );
});
