import { describe, expect, test } from 'vitest';
import { H, useRig } from '../support/rig.ts';

/** Guessing: a network that fails too often is told to wait, and locks nobody out. */

const rig = useRig({ more: 'guard: { failures: 20, per: 2s }\ntrusted_proxies: [127.0.0.1]' });
const from = (client: string, fields: string, target = '/api/x') =>
  `GET ${target} HTTP/1.1\r\n${H}X-Forwarded-For: ${client}\r\n${fields}\r\n`;
const bad = 'Authorization: Bearer pst_x\r\n';

async function exhaust(client: string): Promise<void> {
  for (let i = 0; i < 20; i++) expect((await rig.ask(from(client, bad))).status).toBe(401);
  expect((await rig.ask(from(client, bad))).status).toBe(429);
}

describe('after twenty failures in the window', () => {
  test('failing tokens of that network get 429 with Retry-After, and are not looked up', async () => {
    await exhaust('1.0.0.1');
    const unknown = `pst_${'0'.repeat(38)}`;
    const answer = await rig.denies(from('1.0.0.1', `Authorization: Bearer ${unknown}\r\n`), 'too_many_failures');
    expect(Number(answer.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(Number(answer.get('retry-after'))).toBeLessThanOrEqual(2);
    rig.upstream.requests.length = 0;
  });
  test('a good token still passes, and one without permission is told so', async () => {
    await exhaust('1.0.0.2');
    expect((await rig.ask(from('1.0.0.2', rig.A))).status).toBe(200);
    expect((await rig.ask(from('1.0.0.2', rig.A, '/admin/x'))).status).toBe(403);
  });
  test('no token is no failure, and public paths are open', async () => {
    await exhaust('1.0.0.3');
    expect((await rig.ask(from('1.0.0.3', ''))).status).toBe(401);
    expect((await rig.ask(from('1.0.0.3', '', '/public/x'))).status).toBe(200);
    expect((await rig.ask(from('1.0.0.3', bad, '/public/x'))).status).toBe(200);
  });
  test('other networks are not concerned', async () => {
    await exhaust('1.0.0.4');
    expect((await rig.ask(from('1.0.0.5', bad))).status).toBe(401);
  });
  test('a network of IPv6 is its /64', async () => {
    for (let i = 0; i < 20; i++) expect((await rig.ask(from(`2001:db8:1:1::${i}`, bad))).status).toBe(401);
    expect((await rig.ask(from('2001:db8:1:1:ffff::1', bad))).status).toBe(429);
    expect((await rig.ask(from('2001:db8:1:2::1', bad))).status).toBe(401);
  });
  test('it is over with the window', async () => {
    await exhaust('1.0.0.6');
    const wait = Number((await rig.ask(from('1.0.0.6', bad))).get('retry-after'));
    await new Promise(resolve => setTimeout(resolve, wait * 1000 + 50));
    expect((await rig.ask(from('1.0.0.6', bad))).status).toBe(401);
  });
});

describe('what does not count', () => {
  const requests: Record<string, () => string> = {
    'missing tokens': () => '',
    'another scheme': () => 'Authorization: Basic dTpw\r\n',
    'two tokens': () => rig.A + rig.A,
    'good tokens': () => rig.A,
  };
  let network = 0;
  test.each(Object.entries(requests))('%s', async (_, fields) => {
    const client = `2.0.0.${++network}`;
    for (let i = 0; i < 30; i++) expect((await rig.ask(from(client, fields()))).status).not.toBe(429);
    expect((await rig.ask(from(client, bad))).status).toBe(401);
  });
});
