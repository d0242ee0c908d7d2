import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Program, postern, root } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { Served } from '../support/served.ts';

/** Signed requests and passwords, as somebody who reads the README uses them. */

const upstream = new RecordingUpstream();
const key = 'my-own-key-0123456789-abcdefghijk';
let folder = '';
let served: Served;

beforeAll(async () => {
  await upstream.listen();
  folder = await mkdtemp(path.join(tmpdir(), 'postern-sign-'));
  await writeFile(path.join(folder, 'sealing.key'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  served = await Served.start({
    config: `
upstreams: { u: { url: "${upstream.url}" } }
routes: [{ path: /** }]
credentials: [{ header: x-api-key }]
store: { kind: embedded, path: ./data, deadline: 5s, encryption_key_file: ${path.join(folder, 'sealing.key')} }`,
  });
});
afterAll(async () => {
  await Program.killAll();
  await served.remove();
  await upstream.close();
  await rm(folder, { recursive: true, force: true });
});

async function cli(args: string[], input?: string): Promise<Record<string, unknown>> {
  const env = { POSTERN_ADMIN_URL: `http://127.0.0.1:${served.ports.admin}`, POSTERN_ADMIN_KEY: served.adminKey };
  const { code, stdout, stderr } = await postern([...args, '--json'], { env, ...(input !== undefined && { input }) });
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as Record<string, unknown>;
}

const status = async (target: string, secret: string, headers: Record<string, string> = {}): Promise<number> =>
  (await fetch(served.proxy + target, { headers: { 'X-Api-Key': secret, ...headers } })).status;

test('the example of the README signs what is taken, and nothing else', async () => {
  const readme = await readFile(path.join(root, 'README.md'), 'utf8');
  const [, code = ''] =
    /<!-- The next lines are run by test\/e2e\/constraints\.test\.ts\. -->\n\n```js\n(.*?)```/s.exec(readme) ?? [];
  expect(code.split('\n').length).toBeLessThan(14);
  const call = "\nconst [key, target] = process.argv.slice(2);\nconsole.log(sign(key, 'GET', target, 60));\n";
  await writeFile(path.join(folder, 'sign.mjs'), code + call);
  const made = await cli(['token', 'create', '--constraints', '-'], JSON.stringify({ signature: { key } }));
  expect((made['token'] as { constraints: unknown }).constraints).toEqual({ signature: {} });
  const secret = made['secret'] as string;
  for (const target of ['/x', '/x?', '/a%20b?q=1&r=%2F&&s', '/x?a=b?c']) {
    const signed = execFileSync(process.execPath, [path.join(folder, 'sign.mjs'), key, target], {
      encoding: 'utf8',
    }).trim();
    expect([target, await status(signed, secret)]).toEqual([target, 200]);
    expect(await status(`${signed}&more=1`, secret)).toBe(403);
  }
});

test('postern sign makes a target that is taken, with a key that nobody has seen', async () => {
  const made = await cli(['token', 'create', '--constraints', '{ "signature": {} }']);
  const { id } = made['token'] as { id: string };
  const signed = await cli(['sign', id, '/x?a=1', '--expires-in', '1h']);
  expect(signed).toMatchObject({
    method: 'GET',
    target: expect.stringMatching(/^\/x\?a=1&postern_expires=\d+&postern_signature=[\w-]{43}$/),
  });
  expect(await status(signed['target'] as string, made['secret'] as string)).toBe(200);
  expect(await status('/x?a=1', made['secret'] as string)).toBe(403);
  const put = await cli(['sign', id, '/x', '--method', 'PUT']);
  expect(await status(put['target'] as string, made['secret'] as string)).toBe(403);
});

test('a password is given on standard input, and changed', async () => {
  const made = await cli(['token', 'create', '--constraints', '-'], JSON.stringify({ basic: { alice: 'first' } }));
  const { id } = made['token'] as { id: string };
  const secret = made['secret'] as string;
  const basic = (password: string) => ({
    Authorization: `Basic ${Buffer.from(`alice:${password}`).toString('base64')}`,
  });
  expect(await status('/x', secret)).toBe(401);
  expect(await status('/x', secret, basic('first'))).toBe(200);
  await cli(['token', 'update', id, '--constraints', '-'], JSON.stringify({ basic: { alice: 'second' } }));
  expect(await status('/x', secret, basic('first'))).toBe(401);
  expect(await status('/x', secret, basic('second'))).toBe(200);
  for (const { head } of upstream.requests) expect(head).not.toMatch(/authorization|x-api-key/i);
});
