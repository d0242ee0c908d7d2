import { describe, expect, test } from 'vitest';
import { H, useRig } from '../support/rig.ts';

/** Expect: 100-continue (RFC 9110 10.1.1). A client that asks before it sends is told before it sends. */

const rig = useRig({
  routes: `
  - { path: /public/**, access: public, max_body: 10 }
  - { path: /api/**, require: api }
  - { path: /admin/**, require: admin }`,
  upstreamMembers: 'max_connections: 1, response_timeout: 2s',
});
const head = (line: string, fields: string, version = '1.1') => `${line} HTTP/${version}\r\n${H}${fields}\r\n`;
const asks = 'Expect: 100-continue\r\nContent-Length: 5\r\n';
const inStep = head('GET /public/next', '');

describe('a request that is allowed', () => {
  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'GET'])(
    '%s gets 100, then its answer; the upstream sees no expectation',
    async method => {
      const client = await rig.send(head(`${method} /api/x`, rig.A + asks));
      expect((await client.answer()).status).toBe(100);
      expect(client.text).toBe('');
      client.write('hello');
      expect((await client.answer()).status).toBe(200);
      expect(rig.upstream.only.get('expect')).toBeUndefined();
      expect(rig.upstream.only.body.toString()).toBe('hello');
      client.write(inStep);
      expect((await client.answer()).status).toBe(200);
    },
  );
  test('in chunks', async () => {
    const client = await rig.send(
      head('POST /api/x', `${rig.A}Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n`),
    );
    expect((await client.answer()).status).toBe(100);
    client.write('5\r\nhello\r\n0\r\n\r\n');
    expect((await client.answer()).status).toBe(200);
    expect(rig.upstream.only.body.toString()).toBe('hello');
  });
  test('one that does not wait for 100 gets it all the same, and its answer', async () => {
    const client = await rig.send(`${head('POST /api/x', rig.A + asks)}hello${inStep}`);
    expect((await client.answer()).status).toBe(100);
    expect((await client.answer()).status).toBe(200);
    expect((await client.answer()).status).toBe(200);
    expect(rig.upstream.requests.map(({ target }) => target)).toEqual(['/api/x', '/public/next']);
  });
  test('without a body there is nothing to wait for', async () => {
    for (const fields of ['Expect: 100-continue\r\nContent-Length: 0\r\n', 'Expect: 100-continue\r\n']) {
      rig.upstream.requests.length = 0;
      const client = await rig.send(head('POST /api/x', rig.A + fields));
      const answer = await client.answer();
      // Node cannot know that nothing follows which 100 would have called for.
      expect([answer.status, answer.get('connection')]).toEqual([200, 'close']);
      await client.untilClosed();
      expect(rig.upstream.only.get('expect')).toBeUndefined();
    }
  });
  test('a final answer of the upstream is passed on, 417 too, and the connection stays in step or ends', async () => {
    for (const status of [417, 401, 500]) {
      rig.upstream.requests.length = 0;
      rig.upstream.script = ({ write }) => write(`HTTP/1.1 ${status} No\r\nContent-Length: 2\r\n\r\nno`);
      const client = await rig.send(head('POST /api/x', rig.A + asks));
      expect((await client.answer()).status).toBe(100);
      client.write('hello');
      const answer = await client.answer();
      expect([answer.status, answer.body.toString()]).toEqual([status, 'no']);
      client.write(inStep);
      expect((await client.answer()).status).toBe(status);
    }
  });
  test('the clock of the body runs while the client is waited for, not that of the upstream', async () => {
    const client = await rig.send(head('POST /api/x', rig.A + asks));
    expect((await client.answer()).status).toBe(100);
    await new Promise(resolve => setTimeout(resolve, 200));
    client.write('hello');
    expect((await client.answer()).status).toBe(200);
  });
  test('a client that goes after the 100 is no request to the upstream, or a broken one', async () => {
    const client = await rig.send(head('POST /api/x', rig.A + asks));
    expect((await client.answer()).status).toBe(100);
    client.destroy();
    await expect.poll(async () => (await rig.postern.requestLines()).at(-1)?.['outcome']).toBe('aborted');
    expect(rig.upstream.requests.filter(({ complete }) => complete)).toEqual([]);
  });
});

describe('a request that is refused gets its answer, no 100, and an end to the connection', () => {
  const refusals: Record<string, [bytes: () => string, status: number]> = {
    'no token': [() => head('POST /api/x', asks), 401],
    'a bad token': [() => head('POST /api/x', `Authorization: Bearer pst_x\r\n${asks}`), 401],
    'a missing permission': [() => head('POST /admin/x', rig.A + asks), 403],
    'no route': [() => head('POST /nowhere', asks), 404],
    'two tokens': [() => head('POST /api/x', rig.A + rig.A + asks), 400],
    'a body that is too long': [() => head('POST /public/x', asks.replace('5', '11')), 413],
    'a chunked body without a token': [
      () => head('POST /api/x', 'Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n'),
      401,
    ],
  };
  test.each(Object.entries(refusals))('%s', async (_, [bytes, status]) => {
    const client = await rig.send(bytes());
    const answer = await client.answer();
    expect([answer.status, answer.get('connection')]).toEqual([status, 'close']);
    client.write(inStep);
    await client.untilClosed();
    expect(client.text).toBe('');
    expect(rig.upstream.bytes).toBe('');
  });
});

describe('another expectation', () => {
  test.each([
    'foo',
    '100-continue, foo',
    'foo, 100-continue',
    '100-continuex',
    'x100-continue',
    '100-continue;q=1',
    '""',
    '',
  ])('%j is refused with 417', async value => {
    await rig.refuses(head('GET /public/x', `Expect: ${value}\r\n`), 'expectation_failed');
    await rig.refuses(
      `${head('POST /api/x', `${rig.A}Expect: ${value}\r\nContent-Length: 5\r\n`)}hello`,
      'expectation_failed',
    );
  });
  test('two lines are a list', async () => {
    await rig.refuses(head('GET /public/x', 'Expect: 100-continue\r\nExpect: foo\r\n'), 'expectation_failed');
  });
});

describe('on HTTP/1.0 it is ignored', () => {
  test.each(['100-continue', 'foo'])('%s', async value => {
    const client = await rig.send(
      `${head('POST /api/x', `${rig.A}Expect: ${value}\r\nContent-Length: 5\r\n`, '1.0')}hello`,
    );
    expect((await client.answer()).status).toBe(200);
    expect(rig.upstream.only.get('expect')).toBeUndefined();
    expect(rig.upstream.only.body.toString()).toBe('hello');
  });
});
