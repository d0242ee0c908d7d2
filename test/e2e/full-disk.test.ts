import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Program } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { type ApiAnswer, Served } from '../support/served.ts';

/** The program on an embedded store whose disk takes no more, or nothing at all. */

const upstream = new RecordingUpstream();
const boundMs = 900;
const config = (): string => `
upstreams: { u: { url: "${upstream.url}" } }
routes: [{ path: /api/**, require: api }]
store: { kind: embedded, path: ./data, deadline: 1s }
revocation: { bound: ${boundMs}ms }
guard: { failures: 0 }
`;

beforeAll(async () => {
  await upstream.listen();
});
afterAll(async () => {
  await Program.killAll();
  await upstream.close();
});

const until = (what: () => Promise<unknown>, wanted: unknown, ms = 15_000): Promise<unknown> =>
  expect.poll(what, { interval: 25, timeout: ms }).toEqual(wanted);

/**
 * Of a running process: no file grows beyond so many bytes, nor is anything written behind them. To SQLite that is a disk
 * that is full; with 0 it is one that is read-only. The limit is soft, so that it can be taken back.
 */
function limitFiles({ program }: Served, bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(program.pid), `--fsize=${bytes}:`]);
}

const logBytes = ({ folder }: Served): number => statSync(path.join(folder, 'data/postern.db-wal')).size;

/** Names of all tokens. */
async function names(served: Served): Promise<string[]> {
  const { body } = await served.admin('GET', '/v1/tokens?limit=1000');
  return (body['tokens'] as { name: string }[]).map(({ name }) => name).filter(name => name !== '');
}

async function allowed(served: Served, id: string): Promise<number> {
  const { body } = await served.admin('GET', `/v1/tokens/${id}/usage`);
  return (body['total'] as { allowed: number }).allowed;
}

test.each([
  ['full', (served: Served) => logBytes(served) + 100_000],
  ['read-only', () => 0],
])(
  'a disk that is %s: tokens are served and looked up, changes are 503 and not done, and it goes on without a restart',
  async (_name, limit) => {
    const served = await Served.start({ config: config() });
    const mint = (name: string) => served.mint({ name, permissions: ['api'] });
    const [known, unknown, revoked] = [await mint('known'), await mint('unknown'), await mint('revoked')];
    expect(await served.status('/api/x', known.secret)).toBe(200);
    expect((await served.admin('DELETE', `/v1/tokens/${revoked.id}`)).status).toBe(200);
    const victim = await mint('victim');

    limitFiles(served, limit(served));
    const made = new Set(['known', 'unknown', 'victim']);
    // Not unknown: of what is refused nothing was done.
    const judge = ({ status, body }: ApiAnswer): boolean => {
      if (status !== 503) expect(status).toBeLessThan(300);
      else expect([body['code'], body['outcome']]).toEqual(['store_unavailable', undefined]);
      return status !== 503;
    };
    const create = async (name: string): Promise<boolean> => {
      const done = judge(await served.admin('POST', '/v1/tokens', { name }));
      if (done) made.add(name);
      return done;
    };
    for (let i = 0; await create(`made-${i}`); i++);
    // What is smaller may find room where that has left some.
    const [, renamed, gone, account] = await Promise.all([
      create('late'),
      served.admin('PATCH', `/v1/tokens/${known.id}`, { tags: ['changed'] }).then(judge),
      served.admin('DELETE', `/v1/tokens/${victim.id}?wait=1s`).then(judge),
      served.admin('POST', '/v1/accounts', { id: 'late' }).then(judge),
    ]);
    if (gone) made.delete('victim');
    const expectAsAnswered = async (of: Served): Promise<void> => {
      expect((await names(of)).sort()).toEqual([...made].sort());
      expect((await of.admin('GET', `/v1/tokens/${known.id}`)).body['tags']).toEqual(renamed ? ['changed'] : []);
      expect((await of.admin('GET', '/v1/accounts/late')).status).toBe(account ? 200 : 404);
      const { body } = await of.admin('GET', `/v1/tokens/${victim.id}/events`);
      const actions = (body['events'] as { action: string }[]).map(({ action }) => action);
      expect(actions).toEqual(gone ? ['create', 'revoke'] : ['create']);
    };

    // For longer than the bound: reads of the feed go on proving what is known.
    let requests = 1;
    for (const end = performance.now() + 1.3 * boundMs; performance.now() < end; requests++) {
      expect(await served.status('/api/x', known.secret)).toBe(200);
      expect(await served.status('/api/x', revoked.secret)).toBe(401);
    }
    expect(await served.status('/api/x', unknown.secret)).toBe(200);
    expect(await served.status('/api/x', `pst_${'x'.repeat(38)}`)).toBe(401);
    expect((await fetch(`${served.telemetry}/readyz`)).status).toBe(200);
    await expectAsAnswered(served);
    const refusals = 'postern_store_operations_total{operation="create_token",result="unavailable"}';
    expect(await served.metric(refusals)).toBeGreaterThan(0);

    limitFiles(served, 'unlimited');
    expect(await create('after')).toBe(true);
    expect((await served.admin('DELETE', `/v1/tokens/${unknown.id}`)).status).toBe(200);
    made.delete('unknown');
    expect(await served.status('/api/x', unknown.secret)).toBe(401);
    // What was counted meanwhile is reported now, once.
    await until(() => allowed(served, known.id), requests);
    expect(await served.stop({ keep: true })).toBe(0);

    const again = await Served.start({ config: config(), folder: served.folder });
    await expectAsAnswered(again);
    expect(await allowed(again, known.id)).toBe(requests);
    expect(await again.status('/api/x', known.secret)).toBe(200);
    await again.stop();
  },
);

test('a disk that takes nothing at the start: tokens are served, and changes wait until it does', async () => {
  const first = await Served.start({ config: config() });
  const { secret } = await first.mint({ permissions: ['api'] });
  await first.stop({ keep: true });

  const served = await Served.start({ config: config(), folder: first.folder, under: ['prlimit', '--fsize=0:'] });
  expect(await served.status('/api/x', secret)).toBe(200);
  expect((await served.admin('POST', '/v1/tokens', {})).status).toBe(503);
  expect((await fetch(`${served.telemetry}/readyz`)).status).toBe(200);
  limitFiles(served, 'unlimited');
  expect((await served.admin('POST', '/v1/tokens', {})).status).toBe(201);
  expect(await served.stop()).toBe(0);
});
