import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

const H = 'Host: a\r\n';
let upstream: RecordingUpstream;
let postern: Postern;
let A = '';

beforeAll(async () => {
  upstream = await new RecordingUpstream().listen();
  postern = await Postern.start({ upstream: upstream.url, upstreamMembers: 'max_connections: 1' });
  A = `Authorization: Bearer ${(await postern.mint({ permissions: ['api'] })).secret}\r\n`;
});
afterEach(async () => {
  await postern.assertInvariants(upstream);
  upstream.requests.length = 0;
});
afterAll(async () => {
  await postern.stop();
  await upstream.close();
});

async function rejected(bytes: string, status: number): Promise<void> {
  const client = await RawClient.open(postern.port);
  client.write(bytes);
  const answer = await client.answer();
  expect(answer.status).toBe(status);
  expect(answer.get('connection')).toBe('close');
  await client.untilClosed();
  expect(upstream.requests).toHaveLength(0);
  client.destroy();
}

describe('framing that two servers could read differently', () => {
  test('Content-Length with Transfer-Encoding is refused', async () => {
    await rejected(
      `POST /api/x HTTP/1.1\r\n${H}${A}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n${H}\r\n`,
      400,
    );
  });

  test.each(['DELETE', 'OPTIONS', 'PATCH', 'GET', 'PROPFIND'])('the chunked body of %s stays a body', async method => {
    const client = await RawClient.open(postern.port);
    client.write(
      `${method} /api/x HTTP/1.1\r\n${H}${A}Transfer-Encoding: chunked\r\n\r\n26\r\nGET /admin HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n\r\n0\r\n\r\n`,
    );
    const answer = await client.answer();
    expect(answer.status).toBe(200);
    expect(upstream.requests).toHaveLength(1);
    expect(upstream.requests[0]!.body.toString()).toBe('GET /admin HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n');
    client.destroy();
  });
});
