import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rateLimitNames } from '../../src/core/rate-limit-fields.ts';
import { Postern } from '../support/postern.ts';
import { type Answer, RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { H, useRig } from '../support/rig.ts';
import { readList } from '../support/structured-fields.ts';

/** What answers tell of limits: on which they stand, what a refusal says, and whose numbers they are. */

const app = 'https://app.example';
const routes = `
  - { path: /public/**, access: public }
  - { path: /optional/**, access: optional }
  - { path: /api/**, require: api }
  - { path: /free/**, require: api, cost: 0 }
  - { path: /five/**, require: api, cost: 5 }
  - { path: /eleven/**, require: api, cost: 11 }
  - { path: /shadow/**, require: api, mode: shadow }
  - { path: /scripts/**, require: api, cors: { origins: ["${app}"], preflight: answer } }`;
const rig = useRig({ routes });

const ours: readonly string[] = rateLimitNames.map(name => name.toLowerCase());
/** Names and values of fields about limits, as they stand in the answer. */
const told = ({ fields }: Answer): Record<string, string> =>
  Object.fromEntries(fields.filter(([name]) => ours.includes(name.toLowerCase())));
const left = (answer: Answer): Record<string, unknown> =>
  Object.fromEntries(readList(answer.get('ratelimit')!).map(({ value, parameters }) => [value, parameters.get('r')]));
const request = (path: string, secret: string, more = '', method = 'GET'): string =>
  `${method} ${path} HTTP/1.1\r\n${H}Authorization: Bearer ${secret}\r\n${more}\r\n`;

const day = { name: 'day', max: 10, per: '1d' };
async function minted(limits: readonly object[], more: Record<string, unknown> = {}): Promise<string> {
  return (await rig.postern.mint({ permissions: ['api'], limits, ...more })).secret;
}

/** Whole seconds to the next midnight of UTC, as they are before and after. */
const toMidnight = (): number => Math.ceil((86_400_000 - (Date.now() % 86_400_000)) / 1000);

describe('what is left is told', () => {
  test.each([200, 204, 304, 404, 500])('where the upstream answers %d', async status => {
    const secret = await minted([day]);
    rig.upstream.script = ({ write }) =>
      write(
        `HTTP/1.1 ${status} X\r\n${status === 200 ? 'Content-Length: 0\r\n' : ''}${status >= 404 ? 'Content-Length: 0\r\n' : ''}\r\n`,
      );
    const before = toMidnight();
    const answer = await rig.ask(request('/api/x', secret));
    expect(answer.status).toBe(status);
    expect(told(answer)).toEqual({
      'RateLimit-Policy': '"day";q=10;w=86400',
      RateLimit: expect.stringMatching(/^"day";r=9;t=[0-9]+$/),
    });
    const t = readList(answer.get('ratelimit')!)[0]!.parameters.get('t') as number;
    expect(t <= before && t >= toMidnight(), `${t} s to midnight`).toBe(true);
  });
  test('where HEAD is asked', async () => {
    const secret = await minted([day]);
    expect(left(await rig.ask(request('/api/x', secret, '', 'HEAD'), { head: true }))).toEqual({ day: 9 });
  });
  test('where protocols are switched, and not ahead of it', async () => {
    const secret = await minted([day]);
    rig.upstream.script = ({ write }) =>
      write(
        'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nRateLimit: "theirs";r=1\r\n\r\n',
      );
    const handshake =
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    const answer = await rig.ask(request('/api/x', secret, handshake));
    expect(answer.status).toBe(101);
    expect(left(answer)).toEqual({ day: 9 });
  });
  test('where the upstream broke off after it had the request', async () => {
    const secret = await minted([day]);
    rig.upstream.script = ({ socket }) => void socket.resetAndDestroy();
    const answer = await rig.ask(request('/api/x', secret));
    expect(answer.status).toBe(502);
    expect(left(answer)).toEqual({ day: 9 });
  });
  test('of all limits, and by the cost of the route', async () => {
    await rig.postern.admin('POST', '/v1/accounts', { id: 'many', limits: [day, { ...day, name: 'all', max: 7 }] });
    const secret = await minted([day, { name: 'trial', max: 100, per: 'lifetime' }], { owner: 'many' });
    expect(left(await rig.ask(request('/five/x', secret)))).toEqual({ day: 5, trial: 95, 'account:day': 5, all: 2 });
  });
  test('to scripts of origins that are listed', async () => {
    const secret = await minted([day]);
    const answer = await rig.ask(request('/scripts/x', secret, `Origin: ${app}\r\n`));
    expect(answer.get('access-control-expose-headers')).toContain('RateLimit-Policy');
    const refused = await rig.ask(request('/scripts/x', await minted([{ ...day, max: 0 }]), `Origin: ${app}\r\n`));
    expect(refused.status).toBe(429);
    expect(refused.get('access-control-expose-headers')).toContain('RateLimit-Policy');
  });
});

describe('nothing is told', () => {
  test.each<[string, () => Promise<string>]>([
    ['of a public route', async () => request('/public/x', await minted([day]))],
    ['without a token', async () => `GET /optional/x HTTP/1.1\r\n${H}\r\n`],
    ['of a token without limits', async () => request('/api/x', await minted([]))],
    ['where nothing is charged', async () => request('/free/x', await minted([day]))],
    [
      'of a token without the permission',
      async () => request('/api/x', await minted([day], { permissions: ['other'] })),
    ],
    ['on a route in shadow mode', async () => request('/shadow/x', await minted([day]))],
    [
      'of a token in shadow mode',
      async () => request('/api/x', await minted([{ ...day, max: 0 }], { mode: 'shadow' })),
    ],
  ])('%s, and what the upstream tells passes', async (_, bytes) => {
    rig.upstream.script = ({ write }) =>
      write('HTTP/1.1 200 OK\r\nRateLimit: "theirs";r=1\r\nX-RateLimit-Limit: 5\r\nContent-Length: 0\r\n\r\n');
    const answer = await rig.ask(await bytes());
    const theirs = { RateLimit: '"theirs";r=1', 'X-RateLimit-Limit': '5' };
    expect(told(answer)).toEqual(answer.status === 200 ? theirs : {});
  });
});

test("the upstream's own numbers do not stand beside ours", async () => {
  const theirs = ['RateLimit: "theirs";r=1', 'ratelimit-limit: 5', 'X-RateLimit-Limit: 5', 'X_RateLimit_Reset: 5'];
  rig.upstream.script = ({ write }) =>
    write(`HTTP/1.1 200 OK\r\n${theirs.join('\r\n')}\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n`);
  const answer = await rig.ask(request('/api/x', await minted([day])));
  const names = answer.fields.map(([name]) => name).filter(name => /rate.?limit/i.test(name));
  expect(names).toEqual(['RateLimit-Policy', 'RateLimit']);
  expect(left(answer)).toEqual({ day: 9 });
  expect(answer.get('retry-after')).toBe('5');
});

describe('a refusal', () => {
  test('names what refuses, and when it is over, and takes nothing', async () => {
    await rig.postern.admin('POST', '/v1/accounts', {
      id: 'acme',
      limits: [
        { ...day, max: 3 },
        { ...day, name: 'wide' },
      ],
    });
    const secret = await minted([{ ...day, max: 4 }], { owner: 'acme' });
    for (let i = 0; i < 3; i++) expect((await rig.ask(request('/api/x', secret))).status).toBe(200);
    const before = toMidnight();
    for (let i = 0; i < 2; i++) {
      const answer = await rig.denies(request('/api/x', secret), 'limit_exceeded');
      expect(answer.json()).toMatchObject({
        violated_policies: ['account:day'],
        detail: `The limit "day" of the token's account is spent.`,
      });
      expect(left(answer)).toEqual({ day: 1, 'account:day': 0, wide: 7 });
      const wait = Number(answer.get('retry-after'));
      expect(wait <= before && wait >= toMidnight(), `${wait} s to midnight`).toBe(true);
      expect(answer.get('ratelimit')).toContain(`"account:day";r=0;t=${wait}`);
    }
  });
  test.each<[string, object, string, number]>([
    ['a lifetime that is spent', { name: 'trial', max: 1, per: 'lifetime' }, '/api/x', 1],
    ['a cost beyond the limit', day, '/eleven/x', 0],
    ['a cost beyond the bucket', { name: 'pace', max: 1, per: '1s', algorithm: 'bucket', burst: 10 }, '/eleven/x', 0],
    ['a limit of 0', { ...day, max: 0 }, '/api/x', 0],
  ])('for %s has no time to come again', async (_, limit, path, admitted) => {
    const secret = await minted([limit]);
    for (let i = 0; i < admitted; i++) expect((await rig.ask(request(path, secret))).status).toBe(200);
    const answer = await rig.denies(request(path, secret), 'limit_exceeded');
    expect(answer.all('retry-after')).toEqual([]);
    expect(answer.json()['violated_policies']).toHaveLength(1);
  });
  test('for a bucket is over when it has enough, not when it is full', async () => {
    const secret = await minted([{ name: 'pace', max: 6, per: '1m', algorithm: 'bucket', burst: 10 }]);
    for (let i = 0; i < 2; i++) expect((await rig.ask(request('/five/x', secret))).status).toBe(200);
    const answer = await rig.denies(request('/five/x', secret), 'limit_exceeded');
    // A unit comes each ten seconds.
    const wait = Number(answer.get('retry-after'));
    expect(wait > 40 && wait <= 50, `${wait} s`).toBe(true);
    const t = readList(answer.get('ratelimit')!)[0]!.parameters.get('t') as number;
    expect(t >= 1 && t <= 10, `${t} s`).toBe(true);
  });
  test('tells HEAD the same', async () => {
    const secret = await minted([{ ...day, max: 0 }]);
    const head = await rig.denies(request('/api/x', secret, '', 'HEAD'), 'limit_exceeded', { head: true });
    expect(told(head)).toEqual({ 'RateLimit-Policy': '"day";q=0;w=86400', RateLimit: '"day";r=0' });
  });
});

describe('headers.rate_limit', () => {
  const modes = ['legacy', 'both', 'none'] as const;
  const postern = new Map<string, Postern>();
  const upstream = new RecordingUpstream();
  beforeAll(async () => {
    await upstream.listen();
    for (const mode of modes) {
      const more = `headers: { rate_limit: ${mode} }`;
      postern.set(mode, await Postern.start({ upstream: upstream.url, routes, more }));
    }
  });
  afterAll(async () => {
    for (const each of postern.values()) await each.stop();
    await upstream.close();
  });
  test.each(modes)('%s', async mode => {
    const here = postern.get(mode)!;
    const limits = [day, { ...day, name: 'other', max: 1 }];
    const { secret } = await here.mint({ permissions: ['api'], limits });
    const client = await RawClient.open(here.port);
    const answers: Answer[] = [];
    for (let i = 0; i < 2; i++) {
      client.write(request('/api/x', secret));
      answers.push(await client.answer());
    }
    client.destroy();
    const [passed, refused] = answers as [Answer, Answer];
    expect([passed.status, refused.status]).toEqual([200, 429]);
    expect(refused.json()['violated_policies']).toEqual(['other']);
    const midnight = Math.ceil(Date.now() / 86_400_000) * 86_400;
    const legacy = { 'X-RateLimit-Limit': '1', 'X-RateLimit-Remaining': '0', 'X-RateLimit-Reset': String(midnight) };
    for (const answer of answers) {
      const { 'RateLimit-Policy': policy, RateLimit: rates, ...rest } = told(answer);
      expect(rest).toEqual(mode === 'none' ? {} : legacy);
      expect(policy).toBe(mode === 'both' ? '"day";q=10;w=86400, "other";q=1;w=86400' : undefined);
      if (mode === 'both') expect(left(answer)).toEqual({ day: 9, other: 0 });
      else expect(rates).toBeUndefined();
    }
  });
});

describe('the README', () => {
  const blocks = async (): Promise<{ limits: object[]; ok: string; refused: string }> => {
    const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
    const section = readme.slice(readme.indexOf('\n## Limits\n'), readme.indexOf('### How limits are kept'));
    const limits = JSON.parse(/```json\n([\s\S]*?)```/.exec(section)![1]!) as object[];
    const [ok, refused] = [...section.matchAll(/```http\n([\s\S]*?)```/g)].map(match => match[1]!);
    return { limits, ok: ok!, refused: refused! };
  };
  /** Without what depends on when it is asked. */
  const timeless = (text: string): string =>
    text
      .replaceAll(/;t=[0-9]+/g, ';t=N')
      .replaceAll(/Retry-After: [0-9]+/g, 'Retry-After: N')
      .replaceAll(/w=2[0-9]{6}\b/g, 'w=MONTH')
      .replaceAll(/"request_id":"[^"]*"/g, '"request_id":""');
  /** The lines of an answer that the README shows, in its order. */
  const shownAs = (answer: Answer, example: string): string => {
    const [head, body] = example.split('\n\n') as [string, string?];
    const [status, ...fields] = head.trimEnd().split('\n');
    const lines = fields.map(line => {
      const name = line.slice(0, line.indexOf(':'));
      return `${name}: ${answer.get(name.toLowerCase())}`;
    });
    const text = [status!.replace(/\d{3}/, String(answer.status)), ...lines].join('\n');
    return body === undefined ? `${text}\n` : `${text}\n\n${answer.body.toString()}\n`;
  };

  test('shows the first answer to a token with its limits', async () => {
    const { limits, ok } = await blocks();
    const answer = await rig.ask(request('/api/x', await minted(limits)));
    expect(timeless(shownAs(answer, ok))).toBe(timeless(ok));
  });
  test('shows a refusal', async () => {
    const { refused } = await blocks();
    const minute = { name: 'minute', per: '1m' };
    await rig.postern.admin('POST', '/v1/accounts', { id: 'shown', limits: [{ ...minute, max: 90 }] });
    // A minute may end in between: then once more.
    let answer: Answer;
    do {
      const secret = await minted([{ ...minute, max: 2 }], { owner: 'shown' });
      for (let i = 0; i < 2; i++) await rig.ask(request('/api/x', secret));
      answer = await rig.ask(request('/api/x', secret));
    } while (answer.status !== 429 || left(answer)['account:minute'] !== 88);
    expect(timeless(shownAs(answer, refused))).toBe(timeless(refused));
  });
});
