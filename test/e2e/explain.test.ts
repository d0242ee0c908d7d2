import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { command, Program } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { Served } from '../support/served.ts';

/** `postern explain`, as somebody types it who wants to know why. */

const upstream = new RecordingUpstream();
let served: Served;
let env: Record<string, string>;
beforeAll(async () => {
  await upstream.listen();
  served = await Served.start({
    config: `upstreams: { u: { url: "${upstream.url}" } }\nroutes: [{ path: "/widgets/{id}", methods: [GET], require: "widgets:read" }]\n`,
  });
  env = { POSTERN_ADMIN_URL: `http://127.0.0.1:${served.ports.admin}`, POSTERN_ADMIN_KEY: served.adminKey };
});
afterAll(async () => {
  await served.stop();
  await Program.killAll();
  await upstream.close();
});

describe('explain', () => {
  test('ends with 1 for what is refused, says why and what to do; done so, it ends with 0', async () => {
    const { id, secret } = await served.mint({ permissions: ['other'] });
    const args = ['explain', 'GET', '/widgets/1', '--token', id];
    const before = await command(args, { env });
    expect([before.code, before.stderr]).toEqual([1, '']);
    expect(before.stdout).toMatch(/^refused: 403 insufficient_scope\n/);
    expect(before.stdout).toMatch(/^✓ route .*pattern: \/widgets\/\{id\}/m);
    expect(before.stdout).toMatch(/^✗ permission .*action: widgets:read/m);
    const call = /^(PUT) (\S+) (.+)$/m.exec(before.stdout)!;
    expect((await served.admin(call[1]!, call[2]!, JSON.parse(call[3]!))).status).toBe(200);
    const after = await command(args, { env });
    expect([after.code, after.stdout.split('\n')[0]]).toEqual([0, 'allowed']);
    expect(await served.status('/widgets/1', secret)).toBe(200);
  });

  test('takes the request apart as it is: method, fields, body, peer; and a secret only on standard input', async () => {
    const { secret } = await served.mint({ permissions: ['widgets:read'] });
    const json = async (args: string[], input?: string) => {
      const { stdout } = await command(['explain', ...args, '--json'], { env, ...(input !== undefined && { input }) });
      return JSON.parse(stdout) as Record<string, unknown>;
    };
    expect(await json(['POST', '/widgets/1', '--data', 'x'])).toMatchObject({ code: 'method_not_allowed' });
    expect(await json(['GET', '/widgets/1', '--header', 'Host: a b'])).toMatchObject({ code: 'malformed_request' });
    expect(await json(['GET', '/widgets/1', '--secret-stdin', '--peer', '::1'], `${secret}\n`)).toMatchObject({
      allow: true,
    });
    expect(await json(['GET', '/widgets/1', '--header', `Authorization: Bearer ${secret}`])).toMatchObject({
      allow: true,
    });
  });

  test('ends with 2 for a line that it does not take', async () => {
    for (const args of [
      ['GET'],
      ['GET', '/', '--header', 'nonsense'],
      ['GET', '/', '--token', 'a', '--secret-stdin'],
    ]) {
      expect((await command(['explain', ...args], { env })).code).toBe(2);
    }
  });
});
