import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Lookup } from '../../src/proxy/resolver.ts';
import { makeCertificate } from '../support/certificate.ts';
import { freePort } from '../support/ports.ts';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream, type Scene } from '../support/recording-upstream.ts';

/** An upstream at several addresses: which of them gets a request, and what becomes of those that fail. */

const servers: RecordingUpstream[] = [];
let postern: Postern | null = null;
let [a, b, c] = [new RecordingUpstream(), new RecordingUpstream(), new RecordingUpstream()];

beforeEach(async () => {
  [a, b, c] = await Promise.all([serve(), serve(), serve()]);
});
afterEach(async () => {
  await RawClient.closeAll();
  await postern?.quiet();
  await postern?.stop();
  postern = null;
  await Promise.all(servers.splice(0).map(server => server.close()));
});

async function serve(port = 0, host?: string): Promise<RecordingUpstream> {
  const server = new RecordingUpstream();
  servers.push(server);
  return server.listen(port, undefined, host);
}

/** The upstream `many` at these URLs. */
async function start(urls: readonly string[], members = '', lookup?: Lookup): Promise<Postern> {
  postern = await Postern.start({
    upstream: a.url,
    upstreams: { many: `url: [${urls.map(url => `"${url}"`).join(', ')}]${members === '' ? '' : `, ${members}`}` },
    routes: '\n  - { path: /**, access: public, upstream: many }',
    ...(lookup && { lookup }),
  });
  return postern;
}

const get = (target = '/x'): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`;
const post = (body: string): string => `POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

async function send(bytes: string): Promise<RawClient> {
  const client = await RawClient.open(postern!.port);
  client.write(bytes);
  return client;
}

async function status(bytes = get()): Promise<number> {
  const client = await send(bytes);
  const answer = await client.answer();
  client.destroy();
  return answer.status;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
const counts = (...all: RecordingUpstream[]): number[] => all.map(({ requests }) => requests.length);
const healthy = (server: RecordingUpstream): Promise<number> =>
  postern!.metric(`postern_upstream_healthy{upstream="many",address="127.0.0.1:${server.port}"}`);
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** Answers when it is told to. */
function held(server: RecordingUpstream): () => unknown {
  const scenes: Scene[] = [];
  server.script = scene => void scenes.push(scene);
  return () => scenes.shift()?.write(ok);
}

describe('a request goes to the address with the least to do', () => {
  test('all of them get as much, and one that is done first gets the next', async () => {
    await start([a.url, b.url, c.url]);
    const release = [a, b, c].map(held);
    const clients = [];
    for (let i = 0; i < 6; i++) {
      clients.push(await send(get(`/${i}`)));
      await expect.poll(() => sum(counts(a, b, c))).toBe(i + 1);
    }
    expect(counts(a, b, c)).toEqual([2, 2, 2]);
    release[1]!();
    await expect.poll(() => postern!.metric('postern_upstream_connections{upstream="many",state="idle"}')).toBe(1);
    clients.push(await send(get('/next')));
    await b.until(({ requests }) => requests.at(-1)?.target === '/next');
    for (const go of release) for (let i = 0; i < 3; i++) go();
    const answers = await Promise.all(clients.map(client => client.answer()));
    expect(answers.map(answer => answer.status)).toEqual(Array(7).fill(200));
  });

  test('in turn, when none has anything to do', async () => {
    await start([a.url, b.url, c.url]);
    for (let i = 0; i < 9; i++) expect(await status()).toBe(200);
    expect(counts(a, b, c)).toEqual([3, 3, 3]);
    expect([a, b, c].map(({ connections }) => connections.length)).toEqual([1, 1, 1]);
  });

  test('connections and the queue are counted together', async () => {
    await start([a.url, b.url], 'max_connections: 2, queue: { size: 2, timeout: 10s }');
    const release = [a, b].map(held);
    const clients = [];
    for (let i = 0; i < 4; i++) clients.push(await send(get()));
    await expect.poll(() => postern!.metric('postern_queue_length{upstream="many"}')).toBe(2);
    expect(counts(a, b)).toEqual([1, 1]);
    expect(await status()).toBe(503);
    for (const go of release) go();
    await expect.poll(() => counts(a, b)).toEqual([2, 2]);
    for (const go of release) go();
    for (const client of clients) expect((await client.answer()).status).toBe(200);
  });

  test('an idle connection to one makes room for a connection to another', async () => {
    await start([a.url, b.url], 'max_connections: 1');
    for (let i = 0; i < 4; i++) expect(await status()).toBe(200);
    expect(counts(a, b)).toEqual([2, 2]);
    expect(await postern!.metric('postern_upstream_connections{upstream="many",state="idle"}')).toBe(1);
    await a.until(() => a.sockets.size + b.sockets.size === 1, 'end of the other connections');
  });
});

describe('an address that does not accept connections', () => {
  test('costs no client a request, with a body or without: another gets it, once', async () => {
    const dead = `http://127.0.0.1:${await freePort()}`;
    await start([dead, a.url, `http://127.0.0.1:${await freePort()}`]);
    for (let i = 0; i < 5; i++) expect(await status(post(`body ${i}`))).toBe(200);
    expect(a.requests.map(({ body }) => body.toString())).toEqual([0, 1, 2, 3, 4].map(i => `body ${i}`));
    expect((await postern!.requestLines()).filter(line => 'retried' in line)).toEqual([]);
    expect(await postern!.metric(`postern_upstream_healthy{upstream="many",address="${dead.slice(7)}"}`)).toBe(0);
    expect(await healthy(a)).toBe(1);
    const warning = (await postern!.log()).split('\n').find(line => line.includes('is not healthy'));
    expect(JSON.parse(warning!)).toMatchObject({ level: 'warn', upstream: 'many', fault: 'refused' });
  });

  test('is none of /readyz’s business, even when all are such', async () => {
    await start([`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`]);
    for (let i = 0; i < 5; i++) expect(await status()).toBe(502);
    const ready = await fetch(`http://127.0.0.1:${postern!.app.ports.telemetry}/readyz`);
    expect(ready.status).toBe(200);
  });

  test('comes and goes under load, and no safe request fails', async () => {
    await start([a.url, b.url]);
    // As many connections as there will ever be in use: what is sent on a new one that dies is not sent again.
    const release = [a, b].map(held);
    const lanes = await Promise.all(Array.from({ length: 8 }, () => send(get())));
    await expect.poll(() => counts(a, b)).toEqual([4, 4]);
    for (const one of [a, b]) one.script = ({ write }) => write(ok);
    for (const go of release) for (let i = 0; i < 4; i++) go();

    const statuses = new Map<number, number>();
    let open = true;
    const traffic = lanes.map(async client => {
      for (;;) {
        const answer = await client.answer();
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
        if (!open) return;
        client.write(get());
      }
    });
    const { port } = a;
    await a.until(({ requests }) => requests.length > 50);
    await a.close();
    const seen = counts(b)[0]!;
    await b.until(({ requests }) => requests.length > seen + 50);
    expect(await healthy(a)).toBe(0);
    const back = await serve(port);
    await back.until(({ requests }) => requests.length > 50);
    open = false;
    await Promise.all(traffic);
    expect([...statuses.keys()]).toEqual([200]);
    expect(await healthy(back)).toBe(1);
  });
});

describe('an address that accepts requests and does not answer them', () => {
  test('is passed over after three in a row; what was sent there is not sent again', async () => {
    await start([a.url, b.url]);
    a.script = ({ socket }) => void socket.resetAndDestroy();
    const statuses: number[] = [];
    for (let i = 0; i < 12; i++) statuses.push(await status(post(`${i}`)));
    expect(statuses.filter(one => one === 502)).toHaveLength(3);
    expect(counts(a, b)).toEqual([3, 9]);
    expect([await healthy(a), await healthy(b)]).toEqual([0, 1]);
  });

  test('is used all the same when it is the only one', async () => {
    await start([a.url]);
    a.script = ({ socket }) => void socket.resetAndDestroy();
    for (let i = 0; i < 5; i++) expect(await status(post('x'))).toBe(502);
    expect(counts(a)).toEqual([5]);
    a.script = ({ write }) => write(ok);
    expect(await status(post('x'))).toBe(200);
    expect(await healthy(a)).toBe(1);
  });

  test('is not one that answers with an error: that is an answer', async () => {
    await start([a.url, b.url]);
    a.script = ({ write }) => write('HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n');
    for (let i = 0; i < 10; i++) await status();
    expect(counts(a, b)).toEqual([5, 5]);
    expect(await healthy(a)).toBe(1);
  });
});

describe('checks', () => {
  const checked = 'health: { path: "/healthz?full", interval: 100ms, rise: 2, fall: 2 }';
  const asked = (server: RecordingUpstream) => server.requests.filter(({ target }) => target !== '/x');
  const served = (server: RecordingUpstream): number => server.requests.length - asked(server).length;
  const sick = ({ request, write }: Scene): void =>
    write(request.target === '/x' ? ok : 'HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n');

  test('take an address out before a request meets it, and bring it back', async () => {
    a.script = sick;
    await start([a.url, b.url], checked);
    await expect.poll(() => healthy(a)).toBe(0);
    for (let i = 0; i < 10; i++) expect(await status()).toBe(200);
    expect([served(a), served(b)]).toEqual([0, 10]);
    a.script = ({ write }) => write('HTTP/1.1 302 Elsewhere\r\nLocation: /\r\nContent-Length: 0\r\n\r\n');
    await expect.poll(() => healthy(a)).toBe(1);
    a.script = ({ write }) => write(ok);
    for (let i = 0; i < 10; i++) expect(await status()).toBe(200);
    expect([served(a), served(b)]).toEqual([5, 15]);
    const [first] = asked(a);
    expect([first!.method, first!.target, first!.get('host'), first!.get('user-agent')]).toEqual([
      'GET',
      '/healthz?full',
      `127.0.0.1:${a.port}`,
      'Postern-Health',
    ]);
    expect((await postern!.log()).split('\n').filter(line => line.includes('address of an upstream'))).toHaveLength(2);
  });

  test('that fail everywhere keep no request from an upstream that would have answered it', async () => {
    [a.script, b.script] = [sick, sick];
    await start([a.url, b.url], checked);
    await expect.poll(async () => (await healthy(a)) + (await healthy(b))).toBe(0);
    for (let i = 0; i < 10; i++) expect(await status()).toBe(200);
    expect([served(a), served(b)]).toEqual([5, 5]);
  });

  test('are not passed by a server that says nothing, or nonsense, or has gone', async () => {
    a.script = () => {};
    b.script = ({ write }) => write('SSH-2.0-x\r\n');
    const { url, port } = c;
    await c.close();
    const d = await serve();
    await start([a.url, b.url, url, d.url], checked);
    for (const one of [a, b]) await expect.poll(() => healthy(one)).toBe(0);
    await expect
      .poll(() => postern!.metric(`postern_upstream_healthy{upstream="many",address="127.0.0.1:${port}"}`))
      .toBe(0);
    for (let i = 0; i < 5; i++) expect(await status()).toBe(200);
    expect(served(d)).toBe(5);
  });

  test('end with the program, and leave no connection behind', async () => {
    a.script = () => {};
    await start([a.url, b.url], checked);
    await a.until(({ requests }) => requests.length > 0);
    await postern!.stop();
    postern = null;
    await a.until(({ sockets }) => sockets.size === 0, 'end of its connections');
    const seen = a.connections.length;
    await new Promise(resolve => setTimeout(resolve, 250));
    expect(a.connections.length).toBe(seen);
  });
});

describe('a name', () => {
  let known: readonly string[] = [];
  const lookup: Lookup = async () => known;

  test('that resolves to several addresses is served at all of them', async () => {
    const [one, two] = [await serve(0, '127.0.0.2'), new RecordingUpstream()];
    servers.push(two);
    await two.listen(one.port, undefined, '127.0.0.3');
    known = ['127.0.0.3', '127.0.0.2'];
    await start([`http://api.test:${one.port}`], '', lookup);
    for (let i = 0; i < 6; i++) expect(await status()).toBe(200);
    expect(counts(one, two)).toEqual([3, 3]);
  });

  test('that moves is followed at the first failed connect, and no request is lost', async () => {
    const one = await serve(0, '127.0.0.2');
    known = ['127.0.0.2'];
    await start([`http://api.test:${one.port}`], '', lookup);
    expect(await status()).toBe(200);
    await one.close();
    const two = await serve(one.port, '127.0.0.3');
    known = ['127.0.0.3'];
    // What was asked for a moment ago is not asked for again.
    await new Promise(resolve => setTimeout(resolve, 150));
    for (let i = 0; i < 3; i++) expect(await status(post('x'))).toBe(200);
    expect(counts(two)).toEqual([3]);
    expect(await postern!.metrics()).not.toContain('address="127.0.0.2');
  });

  test('that cannot be resolved does not stand in the way of another', async () => {
    const failing: Lookup = async name => {
      if (name === 'gone.test') throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
      return ['127.0.0.1'];
    };
    await start([`http://gone.test:${a.port}`, `http://api.test:${a.port}`], '', failing);
    for (let i = 0; i < 5; i++) expect(await status()).toBe(200);
  });

  test('whose servers do not answer is used on as it was known', async () => {
    let silent = false;
    const hanging: Lookup = () => (silent ? new Promise(() => {}) : Promise.resolve(['127.0.0.1', '127.0.0.4']));
    await start([`http://api.test:${a.port}`], '', hanging);
    expect(await status()).toBe(200);
    silent = true;
    for (let i = 0; i < 5; i++) expect(await status(post('x'))).toBe(200);
  });

  test('that resolves to a thousand addresses makes a bounded number of series', async () => {
    const many: Lookup = async name =>
      Array.from({ length: 1000 }, (_, i) => `127.${name.length}.${i >> 8}.${i & 255}`);
    const urls = ['http://x.test', 'http://xx.test', 'http://xxx.test'].map(url => `${url}:${a.port}`);
    await start(urls, '', many);
    await status();
    const series = (await postern!.metrics()).split('\n').filter(line => line.startsWith('postern_upstream_healthy{'));
    expect(series.length).toBeGreaterThan(50);
    expect(series.length).toBeLessThanOrEqual(102);
    expect(series.filter(line => line.includes('address="other"')).length).toBeGreaterThan(0);
  });
});

test('Host is that of the URL in use, where the upstream’s is asked for', async () => {
  const lookup: Lookup = async () => ['127.0.0.1'];
  await start([`http://one.test:${a.port}`, `http://two.test:${b.port}`], 'host: upstream', lookup);
  for (let i = 0; i < 4; i++) expect(await status()).toBe(200);
  expect(a.requests.map(request => request.get('host'))).toEqual(Array(2).fill(`one.test:${a.port}`));
  expect(b.requests.map(request => request.get('host'))).toEqual(Array(2).fill(`two.test:${b.port}`));
});

describe('over TLS', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'postern-addresses-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  test('each URL is verified by its own name, and one that is not who it says gets nothing', async () => {
    const [ours, strangers] = [makeCertificate(), makeCertificate()];
    writeFileSync(path.join(folder, 'ca.pem'), ours.cert);
    const [good, bad] = [new RecordingUpstream(), new RecordingUpstream()];
    servers.push(good, bad);
    await good.listen(0, ours);
    await bad.listen(0, strangers);
    const lookup: Lookup = async () => ['127.0.0.1'];
    await start([good.url, bad.url], `tls: { ca: "${folder}/ca.pem" }`, lookup);
    for (let i = 0; i < 6; i++) expect(await status(post('x'))).toBe(200);
    expect(counts(good, bad)).toEqual([6, 0]);
    expect(await healthy(bad)).toBe(0);
  });
});
