import { randomBytes } from 'node:crypto';
import { get } from 'node:http';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { freePort } from '../support/ports.ts';
import { Program } from '../support/program.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { RedisServer } from '../support/redis.ts';
import { Served } from '../support/served.ts';

/** Several processes on one machine share the port of the proxy. */

const upstream = new RecordingUpstream();
const key = randomBytes(32).toString('hex');
let redis: RedisServer;
let port = 0;

beforeAll(async () => {
  await upstream.listen();
  redis = await RedisServer.start({ persistent: false });
  port = await freePort();
});
afterEach(async () => {
  await RawClient.closeAll();
  await Program.killAll();
});
afterAll(async () => {
  await RedisServer.stopAll();
  await upstream.close();
});

async function start(): Promise<Served> {
  const served = await Served.start({
    listen: `{ proxy: { address: "127.0.0.1:${port}", reuse_port: true }, admin: "127.0.0.1:0", telemetry: "127.0.0.1:0" }`,
    config: `
upstreams: { u: { url: "${upstream.url}" } }
routes: [{ path: /api/**, require: api }]
admin: { keys: [{ name: ops, role: admin, key: "${key}" }] }
store: { kind: redis, url: "redis://127.0.0.1:${redis.endpoint.port}/2" }
`,
  });
  served.adminKey = key;
  return served;
}

/** Status of a request on a connection of its own. Rejects when the connection ends without an answer. */
function statusOf(secret: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const headers = { Authorization: `Bearer ${secret}` };
  const request = get({ host: '127.0.0.1', port, path: '/api/x', headers, agent: false }, answer => {
    answer.resume();
    answer.on('end', () => resolve(answer.statusCode ?? 0));
    answer.on('error', reject);
  });
  request.on('error', reject);
  return promise;
}

test('two of them serve it together; one is drained, and the other goes on', async () => {
  const [one, two] = await Promise.all([start(), start()]);
  expect([one.ports.proxy, two.ports.proxy]).toEqual([port, port]);
  const { secret } = await one.mint({ permissions: ['api'] });
  const request = `GET /api/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${secret}\r\n\r\n`;

  // The system divides connections by their ports, so that one has them all as often as a coin falls so.
  const clients: RawClient[] = [];
  const connections = (served: Served): Promise<number> => served.metric('postern_connections{listener="proxy"}');
  while (clients.length < 200 && ((await connections(one)) === 0 || (await connections(two)) === 0)) {
    const client = await RawClient.open(port);
    client.write(request);
    expect((await client.answer()).status).toBe(200);
    clients.push(client);
  }
  expect([(await connections(one)) > 0, (await connections(two)) > 0]).toEqual([true, true]);

  /**
   * Status of a request on a connection of its own. One that the system had not handed over yet when its listener was
   * closed is reset before a byte of an answer: it is made again, as clients do.
   */
  const statusOnce = async (): Promise<number> => {
    for (;;) {
      const alone = one.program.ended !== null;
      try {
        return await statusOf(secret);
      } catch (error) {
        if (alone) throw error;
      }
    }
  };
  const statuses = new Set<number>();
  let open = true;
  const traffic = Array.from({ length: 4 }, async () => {
    while (open) statuses.add(await statusOnce());
  });
  one.program.signal('SIGTERM');
  expect((await one.program.exited()).code).toBe(0);
  // From here on a connection that fails is an error.
  for (let i = 0; i < 50; i++) statuses.add(await statusOnce());
  open = false;
  await Promise.all(traffic);
  expect([...statuses]).toEqual([200]);
  await two.stop();
  await one.remove();
});

test('one that does not say so does not get it, and says why', async () => {
  const served = await start();
  const other = Program.postern(['serve', '--upstream', upstream.url], {
    env: {
      POSTERN_LISTEN_PROXY: `127.0.0.1:${port}`,
      POSTERN_LISTEN_ADMIN: '127.0.0.1:0',
      POSTERN_LISTEN_TELEMETRY: '127.0.0.1:0',
      POSTERN_STORE_URL: `${served.folder}/other`,
    },
  });
  expect((await other.exited()).code).toBe(1);
  expect(other.stderr).toContain(`:${port} is in use by another process`);
  await served.stop();
});
