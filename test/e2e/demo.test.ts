import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Program } from '../support/program.ts';
import { RawClient } from '../support/raw-client.ts';

/** The program as somebody meets it first: `postern demo`, and the lines that it prints, as printed. */

const bash = promisify(execFile);
const run = async (line: string): Promise<string> => (await bash('bash', ['-c', line], { encoding: 'utf8' })).stdout;
/** A line that ends by its time: curl then says 28. */
const runOut = (line: string): Promise<string> =>
  run(`${line}; code=$?; [ $code = 28 ] || { echo "curl ended with $code"; exit 1; }`);

/** What it printed: curl lines under the comment above each. */
interface Printed {
  readonly folder: string;
  readonly ports: readonly number[];
  line(about: string): string;
  readonly lines: readonly string[];
  readonly webSocket: string;
}

async function started(demo: Program): Promise<Printed> {
  await demo.until(({ stdout }) => stdout.includes('Ctrl-C ends this'), 'its lines');
  const { stdout } = demo;
  const lines = stdout.split('\n');
  const curls = lines.filter(line => line.startsWith('curl '));
  return {
    folder: / are in (\S+)$/m.exec(stdout)![1]!,
    ports: [...new Set([...stdout.matchAll(/127\.0\.0\.1:(\d+)/g)].map(match => Number(match[1])))],
    line: about => {
      const comment = lines.findIndex(line => line.startsWith('#') && line.includes(about));
      expect(comment, `a comment with ${about}`).toBeGreaterThan(-1);
      return lines[comment + 1]!;
    },
    lines: curls,
    webSocket: /ws:\/\/\S+/.exec(stdout)![0],
  };
}

afterAll(() => Program.killAll());

describe('the demonstration', () => {
  let demo: Program;
  let printed: Printed;
  beforeAll(async () => {
    demo = Program.postern(['demo']);
    printed = await started(demo);
  });

  test('prints lines that each do what stands above them', async () => {
    expect(printed.lines).toHaveLength(9);
    expect(existsSync(printed.folder)).toBe(true);

    const allowed = await run(printed.line('200: the token has'));
    expect(allowed).toMatch(/^HTTP\/1\.1 200 /);
    expect(allowed).toMatch(/"id":1,"name":"gear".*"asked_by":"tok_/);
    const anonymous = await run(printed.line('401: no token'));
    expect(anonymous).toMatch(/^HTTP\/1\.1 401 /);
    expect(anonymous).toMatch(/WWW-Authenticate: Bearer realm="postern"\r\n/);
    // The prompt of a shell is not to stand behind the problem's last brace.
    expect(anonymous).toMatch(/\}\n$/);
    const forbidden = await run(printed.line('403: a token without'));
    expect(forbidden).toMatch(/^HTTP\/1\.1 403 /);
    expect(forbidden).toContain('"required":["widgets:read"]');
    expect(forbidden).toMatch(/\}\n$/);
    const open = await run(printed.line('200: a public route'));
    expect(open).toMatch(/^HTTP\/1\.1 200 /);
    expect(open).toContain('{"hello":"everybody"}');
    expect(await run(printed.line('an event stream'))).toBe(
      [1, 2, 3].map(tick => `data: {"tick":${tick}}\n\n`).join(''),
    );

    const sample = (text: string, name: string): number | undefined => {
      const line = text.split('\n').find(each => each.startsWith(`${name} `));
      return line === undefined ? undefined : Number(line.slice(name.length + 1));
    };
    const counted = await run(printed.line('the same decisions, counted'));
    const requests = (route: string, code: number, outcome: string): number | undefined =>
      sample(counted, `postern_requests_total{route="${route}",method="GET",code="${code}",outcome="${outcome}"}`);
    expect([
      requests('/widgets/{id}', 200, 'allowed'),
      requests('/widgets/{id}', 401, 'refused'),
      requests('/widgets/{id}', 403, 'refused'),
      requests('/public/**', 200, 'allowed'),
      requests('/events', 200, 'allowed'),
    ]).toEqual([1, 1, 1, 1, 1]);
    expect(
      ['allowed', 'missing_token', 'insufficient_scope', 'public'].map(reason =>
        sample(counted, `postern_decisions_total{reason="${reason}"}`),
      ),
    ).toEqual([2, 1, 1, 1]);
    const total = counted.split('\n').filter(line => line.startsWith('postern_requests_total{'));
    expect(counted).not.toMatch(/ 0$/m);
    expect(total.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)).toBe(5);

    const usage = JSON.parse(await run(printed.line('what the token was used for'))) as { total: object };
    expect(usage.total).toMatchObject({ allowed: 2, refused: {}, status: { '2xx': 2 } });

    const upgraded = await runOut(printed.line('a WebSocket'));
    expect(upgraded).toMatch(/^HTTP\/1\.1 101 /);
    expect(upgraded).toMatch(/^Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r$/im);
    await echo();

    const revoked = JSON.parse(await run(printed.line('revoke it'))) as { token: { state: string } };
    expect(revoked.token.state).toBe('revoked');
    expect(await run(printed.line('200: the token has'))).toMatch(/^HTTP\/1\.1 401 /);
  });

  /** Frames through a WebSocket, by hand. */
  async function echo(): Promise<void> {
    const { port, pathname } = new URL(printed.webSocket);
    const authorization = /Authorization: Bearer \S+(?=')/.exec(printed.line('200: the token has'))![0];
    const upgrade = `GET ${pathname} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n`;
    const refused = await RawClient.open(Number(port));
    refused.write(`${upgrade}\r\n`);
    expect((await refused.answer()).status).toBe(401);

    const client = await RawClient.open(Number(port));
    client.write(`${upgrade}${authorization}\r\n\r\n`);
    await client.until(({ text }) => text.includes('\r\n\r\n'), 'answer');
    // RFC 6455 1.3 has this pair as its example.
    expect(client.text).toMatch(
      /^HTTP\/1\.1 101 .*\r\n(?:.*\r\n)*Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/i,
    );
    const head = client.length;
    for (const text of ['hello', '', 'x'.repeat(125)]) {
      const mask = [1, 2, 3, 4];
      const payload = [...Buffer.from(text)].map((byte, i) => byte ^ mask[i % 4]!);
      const before = client.length;
      client.write(Uint8Array.from([0x81, 0x80 | text.length, ...mask, ...payload]));
      await client.until(({ length }) => length >= before + 2 + text.length, 'echo');
      expect(client.bytes.subarray(before).toString('latin1')).toBe(`\x81${String.fromCharCode(text.length)}${text}`);
    }
    expect(head).toBeLessThan(client.length);
    client.write(Uint8Array.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]));
    await client.untilClosed();
    expect(client.bytes.subarray(-4)).toEqual(Buffer.from([0x88, 0x02, 0x03, 0xe8]));
  }

  test('ends with Ctrl-C, and takes its folder along', async () => {
    demo.signal('SIGINT');
    expect(await demo.exited()).toEqual({ code: 0, signal: null });
    expect(existsSync(printed.folder)).toBe(false);
    expect(demo.stderr).toBe('');
  });
});

test('where its ports are taken it takes others, and its lines name those', async () => {
  const taken: Server[] = [];
  for (const port of [8080, 8081, 9464]) {
    const server = createServer();
    // Somebody else may have it, which is as good.
    await new Promise<void>(resolve => server.once('error', () => resolve()).listen(port, '127.0.0.1', resolve));
    taken.push(server);
  }
  const demo = Program.postern(['demo']);
  const printed = await started(demo);
  expect(printed.ports.filter(port => [8080, 8081, 9464].includes(port))).toEqual([]);
  expect(printed.ports).toHaveLength(3);
  expect(await run(printed.line('200: the token has'))).toMatch(/^HTTP\/1\.1 200 /);
  demo.signal('SIGTERM');
  expect((await demo.exited()).code).toBe(0);
  expect(existsSync(printed.folder)).toBe(false);
  for (const server of taken) server.close();
});
