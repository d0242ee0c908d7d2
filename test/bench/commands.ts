import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Pool } from 'undici';
import { CommandCounter } from '../support/command-counter.ts';
import { Program } from '../support/program.ts';
import { RedisServer } from '../support/redis.ts';
import { Served } from '../support/served.ts';

/**
 * What requests with known tokens cost the store: all commands of clients meanwhile, by what they are for. `--limits`: of
 * tokens with limits that are far away, of themselves and of their account. Exits 1 where that takes more than 200
 * commands and 3 a second, or a client was not told what is left.
 */

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '100000' },
    tokens: { type: 'string', default: '10' },
    limits: { type: 'boolean', default: false },
  },
});
const requests = Number(values.requests);
const key = randomBytes(32).toString('hex');
// Whatever fails, nothing stays behind.
process.on('exit', () => void Program.killAll());

const upstream = createServer((_, answer) => void answer.end('ok'));
await new Promise<void>(resolve => upstream.listen(0, '127.0.0.1', resolve));
const redis = await RedisServer.start();
const served = await Served.start({
  config: `
upstreams: { u: { url: "http://127.0.0.1:${(upstream.address() as AddressInfo).port}" } }
routes: [{ path: /**, require: api }]
admin: { keys: [{ name: ops, role: admin, key: "${key}" }] }
store: { kind: redis, url: "redis://127.0.0.1:${redis.endpoint.port}" }
log: { access: none }
`,
});
served.adminKey = key;
/** So many units that no request comes near the end of any. */
const far = { max: 1_000_000_000 };
const limits = [
  { ...far, name: 'month', per: '1mo' },
  { ...far, name: 'pace', per: '1s', algorithm: 'bucket' },
];
const limited = values.limits ? { owner: 'acme', limits } : {};
if (values.limits) {
  const { status, text } = await served.admin('POST', '/v1/accounts', {
    id: 'acme',
    limits: [{ ...limits[0], name: 'all' }],
  });
  if (status !== 201) throw new Error(text);
}
const secrets: string[] = [];
for (let i = 0; i < Number(values.tokens); i++) {
  const { secret } = await served.mint({ permissions: ['api'], ...limited });
  if ((await served.status('/x', secret)) !== 200) throw new Error('a good token is refused');
  secrets.push(secret);
} // Scripts are sent whole the first time.
while ((await served.metric('postern_store_operations_total{operation="usage_report",result="ok"}')) === 0) {
  await pause(50);
}

const pool = new Pool(served.proxy, { connections: 32 });
const counter = await CommandCounter.start(redis, '0');
const began = performance.now();
let next = 0;
const lane = async (): Promise<void> => {
  while (next < requests) {
    const secret = secrets[next++ % secrets.length]!;
    const { statusCode, headers, body } = await pool.request({
      path: '/x',
      method: 'GET',
      headers: { authorization: `Bearer ${secret}` },
    });
    await body.dump();
    if (statusCode !== 200) throw new Error(`a good token got ${statusCode}`);
    if (values.limits !== (headers['ratelimit'] !== undefined)) throw new Error('what is left of limits was not told');
  }
};
await Promise.all(Array.from({ length: 32 }, lane));
const seconds = (performance.now() - began) / 1000;
const counts = counter.end();
console.log(`${requests} authorized requests of ${secrets.length} tokens in ${seconds.toFixed(1)} s:`, counts);
if (values.limits) {
  const commands = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const most = 200 + 3 * seconds;
  const within = commands <= most;
  console.log(`${commands} commands, ${within ? 'within' : 'OVER'} 200 and 3 a second (${most.toFixed(0)})`);
  if (!within) process.exitCode = 1;
}

await pool.close();
await served.stop();
await redis.stop();
upstream.close();
