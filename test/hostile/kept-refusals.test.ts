import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

/** Thousands of refusals are kept to be explained: what is kept of each must not be what a client has sent. */

let upstream: RecordingUpstream;
let postern: Postern;
beforeAll(async () => {
  upstream = await new RecordingUpstream().listen();
  postern = await Postern.start({
    upstream: upstream.url,
    routes: `
  - { path: /rpc, require: db.read, resource: "{param.database}", inspect_body: 1MiB }
`,
    more: 'guard: { failures: 0 }\ncredentials: [{ header: authorization, scheme: Bearer }, { form: auth_token }]',
  });
});
afterAll(async () => {
  await postern.stop();
  await upstream.close();
});

function heapInUse(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

async function refuse(times: number): Promise<void> {
  const { secret } = await postern.mint({ permissions: ['db.write'] });
  const client = await RawClient.open(postern.port);
  for (let i = 0; i < times; i++) {
    // Every other one without a token.
    const token = i % 2 === 0 ? `&auth_token=${secret}` : '';
    const body = `database=some-database-number-${i}${token}&pad=${'x'.repeat(500_000)}`;
    client.write(
      `POST /rpc HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect([401, 403]).toContain((await client.answer()).status);
  }
  client.destroy();
  await postern.quiet();
}

test('a hundred megabytes of refused bodies leave next to nothing behind', async () => {
  await refuse(4);
  const before = heapInUse();
  await refuse(200);
  expect((heapInUse() - before) / 1e6).toBeLessThan(20);
  const decision = postern.admin('GET', '/v1/decisions/018f3c2e-7b1a-7c3d-9f00-0123456789ab');
  expect((await decision).status).toBe(404);
});
