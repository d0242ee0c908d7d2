import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { StoreUnavailable } from '../../src/errors.ts';
import type { LimitLedger } from '../../src/ports/limit-ledger.ts';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

/** Limits while their ledgers do not answer, or take their time. */

const upstream = new RecordingUpstream();
let closed: Postern;
let open: Postern;

/** What becomes of questions about limits: they are asked, fail, or wait for a test. */
let away = false;
let held: Promise<void> | null = null;
/** Whose limits were asked about. */
const asked = new Set<string>();

function start(limits: 'closed' | 'open'): Promise<Postern> {
  return Postern.start({
    upstream: upstream.url,
    routes: '  - { path: /x }\n  - { path: /shadow, mode: shadow }',
    more: `outage: { limits: ${limits} }\nlimits: { wait: 30s }`,
    throughStore: store => {
      const exchange: LimitLedger['exchange'] = async (questions, circumstances) => {
        for (const { subject } of questions) asked.add(subject.id);
        await held;
        if (away) throw new StoreUnavailable('cut off by the test');
        return store.limits.exchange(questions, circumstances);
      };
      const { limits: ledger } = store;
      return {
        ...store,
        identity: store.identity,
        keepChecksumKeys: add => store.keepChecksumKeys(add),
        adminKey: () => store.adminKey(),
        examine: () => store.examine(),
        close: () => store.close(),
        limits: {
          exchange,
          define: (...args) => ledger.define(...args),
          read: (...args) => ledger.read(...args),
          reset: (...args) => ledger.reset(...args),
          listen: (...args) => ledger.listen(...args),
        },
      };
    },
  });
}

beforeAll(async () => {
  await upstream.listen();
  [closed, open] = [await start('closed'), await start('open')];
});
afterEach(async () => {
  away = false;
  held = null;
  await RawClient.closeAll();
  upstream.reset();
});
afterAll(async () => {
  await Promise.all([closed.stop(), open.stop()]);
  await upstream.close();
});

async function ask(postern: Postern, secret: string, target = '/x') {
  const client = await RawClient.open(postern.port);
  client.write(`GET ${target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${secret}\r\n\r\n`);
  const answer = await client.answer();
  client.destroy();
  return answer;
}

const mint = (postern: Postern, max: number) => postern.mint({ limits: [{ name: 'n', max, per: 'lifetime' }] });

describe('while the ledgers do not answer', () => {
  test('units that are held are spent; who has none is told that the store is away, also in shadow mode', async () => {
    const [known, other] = [await mint(closed, 1000), await mint(closed, 1000)];
    expect((await ask(closed, known.secret)).status).toBe(200);
    away = true;
    expect((await ask(closed, known.secret)).status).toBe(200);
    for (const target of ['/x', '/shadow']) {
      const refused = await ask(closed, other.secret, target);
      expect([refused.status, refused.json()['code'], refused.get('retry-after')]).toEqual([
        503,
        'store_unavailable',
        '1',
      ]);
    }
    expect(upstream.requests.length).toBe(2);
    away = false;
    expect((await ask(closed, other.secret)).status).toBe(200);
  });

  test('open limits let all pass, count it, and book it afterwards', async () => {
    const { id, secret } = await mint(open, 3);
    away = true;
    for (let i = 0; i < 5; i++) expect((await ask(open, secret)).status).toBe(200);
    expect(await open.metric('postern_limit_excess_units_total{cause="outage"}')).toBe(5);
    away = false;
    const usage = async () => {
      const { body } = await open.admin('GET', `/v1/tokens/${id}/usage`);
      return (body['limits'] as { used: number; remaining: number }[])[0];
    };
    await expect.poll(usage).toMatchObject({ used: 5, remaining: 0 });
    expect((await ask(open, secret)).status).toBe(429);
  });
});

test('a token that is revoked while its request waits for units is refused, and charged nothing', async () => {
  const { id, secret } = await mint(closed, 10);
  const { promise, resolve } = Promise.withResolvers<void>();
  held = promise;
  const pending = ask(closed, secret);
  await expect.poll(() => asked.has(id)).toBe(true);
  expect((await closed.admin('DELETE', `/v1/tokens/${id}`)).status).toBe(200);
  resolve();
  expect((await pending).status).toBe(401);
  expect(upstream.requests).toEqual([]);
  const { body } = await closed.admin('GET', `/v1/tokens/${id}/usage`);
  expect((body['limits'] as { used: number }[])[0]).toMatchObject({ used: 0 });
});
