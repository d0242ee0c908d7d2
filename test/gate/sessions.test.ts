import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Postern } from '../support/postern.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

/** A session of a manager is no token on the proxy, whatever the route says. */

const routes = `
  - { path: /bare }
  - { path: /needs, require: "a" }
  - { path: /optional, access: optional }
  - { path: /public, access: public }
  - { path: /shadow, mode: shadow, require: "a" }
`;

const upstream = new RecordingUpstream();
let postern: Postern;
let session: string;
let id: string;

beforeAll(async () => {
  await upstream.listen(0);
  postern = await Postern.start({ upstream: upstream.url, routes });
  await postern.admin('PUT', '/v1/accounts/acme', { permissions: ['*'] });
  const made = await postern.admin('POST', '/v1/sessions', { account: 'acme', ttl: '1h' });
  session = made.body['session'] as string;
  id = made.headers.get('location')!.split('/').at(-1)!;
  postern.planted.push(session);
});
afterEach(() => postern.assertInvariants(upstream));
afterAll(async () => {
  await postern.stop();
  await upstream.close();
});

const ask = async (path: string, secret: string) => {
  const response = await fetch(`${postern.proxy}${path}`, { headers: { Authorization: `Bearer ${secret}` } });
  return { status: response.status, challenge: response.headers.get('www-authenticate'), text: await response.text() };
};
const masked = (text: string): string => text.replace(/"request_id":"[^"]+"/, '"request_id":"…"');

describe('a session on the proxy', () => {
  test.each(['/bare', '/needs', '/optional'])('is answered on %s as a secret that nobody has', async path => {
    const before = upstream.requests.length;
    const { secret, id: other } = await postern.mint();
    await postern.admin('DELETE', `/v1/tokens/${other}`);
    const [ours, unknown] = [await ask(path, session), await ask(path, secret)];
    expect(ours.status).toBe(401);
    expect({ ...ours, text: masked(ours.text) }).toEqual({ ...unknown, text: masked(unknown.text) });
    expect(upstream.requests.length).toBe(before);
  });

  test('is cut from what is let through all the same, and tells the upstream of nobody', async () => {
    for (const path of ['/public', '/shadow']) {
      expect((await ask(path, session)).status).toBe(200);
      const { head } = upstream.requests.at(-1)!;
      expect(head).not.toContain(session);
      expect(head.toLowerCase()).not.toMatch(/x-postern-(?:token|owner|permission)/);
    }
  });

  test('is told apart where managers ask', async () => {
    for (const named of [{ token_id: id }, { secret: session }]) {
      const request = { method: 'GET', target: '/bare' };
      const { body } = await postern.admin('POST', '/v1/explain', { ...named, request });
      expect(body).toMatchObject({ allow: false, status: 401, code: 'invalid_token' });
      const failed = (body['steps'] as { outcome: string; compared: object }[]).find(
        ({ outcome }) => outcome === 'failed',
      );
      expect(failed?.compared).toMatchObject({ id, kind: 'session', cause: 'unknown' });
      expect(body['remedy']).toContain('A session is for token APIs alone');
    }
  });
});

test('sessions are there after a restart, and revoked ones are not', async () => {
  const { folder } = postern;
  const key = { Authorization: `Bearer ${postern.app.generatedKey}` };
  const other = await postern.admin('POST', '/v1/sessions', { account: 'acme' });
  await postern.admin('DELETE', other.headers.get('location')!);
  await postern.stop({ keep: true });
  postern = await Postern.start({ upstream: upstream.url, routes, folder });
  const { body } = await postern.admin('GET', '/v1/tokens?kind=session', undefined, key);
  expect((body['tokens'] as { id: string }[]).map(token => token.id)).toEqual([id]);
  expect((await ask('/bare', session)).status).toBe(401);
});
