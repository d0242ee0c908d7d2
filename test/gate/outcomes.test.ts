import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { freePort } from '../support/ports.ts';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

/** What becomes of the units of a request, for every way in which it can end. The README has the same table. */

let upstream: RecordingUpstream;
let here: Postern;

/** What the routes below take. */
const cost = 3;
const reserve = 10;

async function start(tls: boolean): Promise<void> {
  const certificate = makeCertificate();
  const folder = await mkdtemp(join(tmpdir(), 'postern-outcomes-'));
  const ca = join(folder, 'ca.pem');
  await writeFile(ca, certificate.cert);
  const members = tls ? `, tls: { ca: "${ca}" }` : '';
  upstream = await new RecordingUpstream().listen(0, tls ? certificate : undefined);
  const closed = await freePort();
  here = await Postern.start({
    upstream: upstream.url,
    upstreamMembers: `response_timeout: 300ms, connect_timeout: 500ms${members}`,
    upstreams: {
      closed: `url: "http://127.0.0.1:${closed}"`,
      narrow: `url: "${upstream.url}", max_connections: 1, queue: { size: 1, timeout: 5s }${members}`,
    },
    routes: `
  - { path: /api/**, cost: ${cost}, upstream: u }
  - { path: /strict/**, cost: ${cost}, require: admin, upstream: u }
  - { path: /closed/**, cost: ${cost}, upstream: closed }
  - { path: /narrow/**, cost: ${cost}, upstream: narrow }
  - { path: /small/**, cost: ${cost}, max_body: 10B, upstream: u }
  - { path: /free/**, cost: 0, upstream: u }
  - { path: /public/**, access: public, upstream: u }
  - { path: /shadow/**, cost: ${cost}, require: admin, mode: shadow, upstream: u }
  - { path: /measured/**, cost: { reserve: ${reserve}, response_header: X-Cost }, upstream: u }
  - { path: /answered/**, cost: ${cost}, cors: { origins: ["https://app.example"], preflight: answer }, upstream: u }
  - { path: /asked/**, cost: ${cost}, cors: { origins: ["https://app.example"], preflight: forward }, upstream: u }`,
  });
  await rm(folder, { recursive: true });
}

const max = 20;
/** What whole requests can take of it. */
const most = Math.floor(max / cost) * cost;

interface Asker {
  readonly id: string;
  readonly secret: string;
}

const head = (method: string, target: string, { secret }: Asker, more = ''): string =>
  `${method} ${target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${secret}\r\n${more}\r\n`;

async function send(bytes: string): Promise<RawClient> {
  const client = await RawClient.open(here.port);
  client.write(bytes);
  return client;
}

/** The status of the answer to one request. */
async function status(bytes: string, options: { readonly head?: boolean } = {}): Promise<number> {
  const client = await send(bytes);
  const answer = await client.answer(options);
  client.destroy();
  return answer.status;
}

const answering = (text: string) => {
  upstream.script = ({ write }) => write(text);
};
const answered = (code: number, more = ''): string => `HTTP/1.1 ${code} X\r\nContent-Length: 0\r\n${more}\r\n`;

const answersWith = (code: number) => async (asker: Asker) => {
  answering(answered(code));
  expect(await status(head('GET', '/api/x', asker))).toBe(code);
};

const measures = (fields: string) => async (asker: Asker) => {
  answering(answered(200, fields));
  expect(await status(head('GET', '/measured/x', asker))).toBe(200);
};

/** Occupies the only connection of an upstream; resolves to what lets go of it. */
async function occupied(): Promise<() => void> {
  const other = await mint();
  let release: (text: string) => void = () => {};
  upstream.script = ({ write }) => {
    release = write;
  };
  const client = await send(head('GET', '/narrow/first', other));
  await upstream.until(({ requests }) => requests.length === 1);
  return () => {
    upstream.script = ({ write }) => write(answered(200));
    release(answered(200));
    client.destroy();
  };
}

const mint = (limits: readonly unknown[] = [{ name: 'n', max, per: 'lifetime' }]): Promise<Asker> =>
  here.mint({ permissions: ['api'], limits });

async function used(id: string): Promise<number> {
  const { status: code, body, text } = await here.admin('GET', `/v1/tokens/${id}/usage`);
  expect(code, text).toBe(200);
  return (body['limits'] as { used: number }[])[0]!.used;
}

interface Row {
  readonly used: number;
  run(asker: Asker): Promise<void>;
}

type Outcome = 'spent' | 'refunded' | 'not charged' | 'as the field says' | 'the reserve';

/** In the words of the README. */
const table: Readonly<Record<string, { readonly outcome: Outcome } & Row>> = {
  'the upstream answers 2xx': { outcome: 'spent', used: cost, run: answersWith(200) },
  'the upstream answers 3xx': { outcome: 'spent', used: cost, run: answersWith(302) },
  'the upstream answers 4xx': { outcome: 'spent', used: cost, run: answersWith(404) },
  'the upstream answers 5xx': { outcome: 'spent', used: cost, run: answersWith(503) },
  'informational heads, then an answer': {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      answering(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${answered(200)}`);
      const client = await send(head('GET', '/api/x', asker));
      await client.until(({ text }) => text.includes('200'));
      client.destroy();
    },
  },
  HEAD: {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      expect(await status(head('HEAD', '/api/x', asker), { head: true })).toBe(200);
    },
  },
  'OPTIONS that is no preflight': {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      expect(await status(head('OPTIONS', '/api/x', asker))).toBe(200);
    },
  },
  '101: once, at the handshake': {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      answering('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      const upgrade =
        'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';
      const client = await send(head('GET', '/api/x', asker, upgrade));
      await client.until(({ text }) => text.startsWith('HTTP/1.1 101'));
      // While it is open.
      expect(await used(asker.id)).toBe(cost);
      client.destroy();
    },
  },
  'an event stream, at its head': {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      answering('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n');
      const client = await send(head('GET', '/api/x', asker));
      await client.until(({ text }) => text.includes('data: 1'));
      expect(await used(asker.id)).toBe(cost);
      client.destroy();
    },
  },
  'a GET that is sent again on another connection: once': {
    outcome: 'spent',
    used: 2 * cost,
    run: async asker => {
      let requests = 0;
      upstream.script = ({ write, socket }) => (++requests === 2 ? socket.destroy() : write(answered(200)));
      expect(await status(head('GET', '/api/first', asker))).toBe(200);
      expect(await status(head('GET', '/api/again', asker))).toBe(200);
      expect(requests).toBe(3);
    },
  },
  'Expect: 100-continue, and the body follows': {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      const client = await send(head('POST', '/api/x', asker, 'Expect: 100-continue\r\nContent-Length: 2\r\n'));
      await client.until(({ text }) => text.includes('100 Continue'));
      client.write('ab');
      await client.until(({ text }) => text.includes('200 OK'));
      client.destroy();
    },
  },
  'the upstream breaks off before its head': {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      upstream.script = ({ socket }) => socket.destroy();
      expect(await status(head('POST', '/api/x', asker, 'Content-Length: 0\r\n'))).toBe(502);
    },
  },
  'the upstream breaks off behind its head': {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      upstream.script = ({ socket, write }) => {
        write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab');
        socket.end();
      };
      const client = await send(head('GET', '/api/x', asker));
      await client.untilClosed();
    },
  },
  'the upstream answers nonsense': {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      answering('NONSENSE\r\n\r\n');
      expect(await status(head('GET', '/api/x', asker))).toBe(502);
    },
  },
  'the upstream does not answer in time': {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      upstream.script = () => {};
      expect(await status(head('GET', '/api/x', asker))).toBe(504);
    },
  },
  'the client goes before the head of the answer': {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      upstream.script = () => {};
      const client = await send(head('GET', '/api/x', asker));
      await upstream.until(({ requests }) => requests.length === 1);
      client.destroy();
      await here.quiet();
    },
  },
  'the client goes behind the head of the answer': {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      answering('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab');
      const client = await send(head('GET', '/api/x', asker));
      await client.until(({ text }) => text.endsWith('ab'));
      client.destroy();
    },
  },
  'the client goes while some of its body has been sent': {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      const client = await send(`${head('POST', '/api/x', asker, 'Content-Length: 9\r\n')}ab`);
      await upstream.until(({ bytes }) => bytes.includes('ab'));
      client.destroy();
      await here.quiet();
    },
  },
  'a body turns out too large while some of it has been sent': {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      const client = await send(`${head('POST', '/small/x', asker, 'Transfer-Encoding: chunked\r\n')}2\r\nab\r\n`);
      await upstream.until(({ bytes }) => bytes.includes('ab'));
      client.write('9\r\nabcdefghi\r\n');
      expect((await client.answer()).status).toBe(413);
      client.destroy();
    },
  },
  'the upstream refuses the connection': {
    outcome: 'refunded',
    used: 0,
    run: async asker => {
      expect(await status(head('GET', '/closed/x', asker))).toBe(502);
    },
  },
  'the queue for a connection is full': {
    outcome: 'refunded',
    used: 0,
    run: async asker => {
      const release = await occupied();
      const second = await send(head('GET', '/narrow/second', await mint()));
      await expect.poll(() => here.metric('postern_queue_length{upstream="narrow"}')).toBe(1);
      expect(await status(head('GET', '/narrow/x', asker))).toBe(503);
      second.destroy();
      release();
    },
  },
  'the client goes while its request waits for a connection': {
    outcome: 'refunded',
    used: 0,
    run: async asker => {
      const release = await occupied();
      const client = await send(head('GET', '/narrow/x', asker));
      await expect.poll(() => here.metric('postern_queue_length{upstream="narrow"}')).toBe(1);
      client.destroy();
      await expect.poll(() => here.metric('postern_queue_length{upstream="narrow"}')).toBe(0);
      release();
    },
  },
  'the client goes before any of its body came': {
    outcome: 'refunded',
    used: 0,
    run: async asker => {
      const client = await send(head('POST', '/api/x', asker, 'Expect: 100-continue\r\nContent-Length: 9\r\n'));
      // Connected, and told to go on.
      await client.until(({ text }) => text.includes('100 Continue'));
      client.destroy();
      await here.quiet();
      expect(upstream.requests).toEqual([]);
    },
  },
  'the body is not framed as its head says, before any of it was sent': {
    outcome: 'refunded',
    used: 0,
    run: async asker => {
      const client = await send(`${head('POST', '/api/x', asker, 'Transfer-Encoding: chunked\r\n')}no\r\n`);
      await client.untilClosed();
      expect(client.text).toContain('400');
      expect(upstream.requests).toEqual([]);
    },
  },
  'refused: 400, 401, 403, 404, 405, 413, 417, 429': {
    outcome: 'not charged',
    used: most,
    run: async asker => {
      for (let i = 0; i < most; i += cost) expect(await status(head('GET', '/api/x', asker))).toBe(200);
      expect(await status(head('GET', '/api/x', asker))).toBe(429);
      expect(await status(head('GET', '/api/../x', asker))).toBe(400);
      expect(await status(head('GET', '/strict/x', asker))).toBe(403);
      expect(await status(head('GET', '/nowhere', asker))).toBe(404);
      expect(await status(head('TRACE', '/api/x', asker))).toBe(405);
      expect(await status(head('POST', '/small/x', asker, 'Content-Length: 11\r\n'))).toBe(413);
      expect(await status(head('GET', '/api/x', asker, 'Expect: more\r\n'))).toBe(417);
      await here.admin('POST', `/v1/tokens/${asker.id}/disable`);
      expect(await status(head('GET', '/api/x', asker))).toBe(401);
    },
  },
  'Expect: 100-continue, and the request is refused': {
    outcome: 'not charged',
    used: 0,
    run: async asker => {
      const client = await send(head('POST', '/strict/x', asker, 'Expect: 100-continue\r\nContent-Length: 2\r\n'));
      expect((await client.answer()).status).toBe(403);
      client.destroy();
    },
  },
  'a preflight, answered here or forwarded': {
    outcome: 'not charged',
    used: 0,
    run: async asker => {
      const fields = 'Origin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n';
      expect(await status(head('OPTIONS', '/answered/x', asker, fields))).toBe(204);
      expect(await status(head('OPTIONS', '/asked/x', asker, fields))).toBe(200);
    },
  },
  'a public route, or one of cost 0': {
    outcome: 'not charged',
    used: 0,
    run: async asker => {
      expect(await status(head('GET', '/public/x', asker))).toBe(200);
      expect(await status(head('GET', '/free/x', asker))).toBe(200);
    },
  },
  'shadow mode lets it through, whatever else speaks against it': {
    outcome: 'spent',
    used: cost,
    run: async asker => {
      expect(await status(head('GET', '/shadow/x', asker))).toBe(200);
    },
  },
  'shadow mode lets it through although too little is left': {
    outcome: 'not charged',
    used: most,
    run: async asker => {
      for (let i = 0; i < most; i += cost) expect(await status(head('GET', '/shadow/x', asker))).toBe(200);
      expect(await status(head('GET', '/shadow/x', asker))).toBe(200);
    },
  },
  'the cost stands in the response, and is less than the reserve': {
    outcome: 'as the field says',
    used: 4,
    run: measures('X-Cost: 4\r\n'),
  },
  'the cost stands in the response, and is more than the reserve': {
    outcome: 'the reserve',
    used: reserve,
    run: async asker => {
      const sample = 'postern_limit_excess_units_total{cause="response"}';
      const before = await here.metric(sample);
      await measures(`X-Cost: ${reserve + 7}\r\n`)(asker);
      expect((await here.metric(sample)) - before).toBe(7);
    },
  },
  'the response has no such field, two, or no number in it': {
    outcome: 'the reserve',
    used: 3 * reserve,
    run: async asker => {
      const limits = [{ name: 'n', max: 3 * reserve, per: 'lifetime' }];
      await here.admin('PATCH', `/v1/tokens/${asker.id}`, { limits });
      await measures('')(asker);
      await measures('X-Cost: 1\r\nX-Cost: 1\r\n')(asker);
      await measures('X-Cost: -1\r\n')(asker);
    },
  },
};

describe.each(['http', 'https'])('units of a request to an upstream of %s', scheme => {
  beforeAll(() => start(scheme === 'https'));
  afterEach(async () => {
    await RawClient.closeAll();
    await here.quiet();
    upstream.reset();
  });
  afterAll(async () => {
    await here.stop();
    await upstream.close();
  });

  for (const [name, row] of Object.entries(table)) {
    test(`${name}: ${row.outcome}`, async () => {
      const asker = await mint();
      await row.run(asker);
      await here.quiet();
      expect(await used(asker.id)).toBe(row.used);
    });
  }
});

test('the README has the same table', async () => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const rows = [...readme.matchAll(/^\| (.+?) +\| (spent|refunded|not charged|as the field says|the reserve) +\|$/gm)];
  expect(rows.map(([, what, outcome]) => [what, outcome])).toEqual(
    Object.entries(table).map(([what, { outcome }]) => [what, outcome]),
  );
});
