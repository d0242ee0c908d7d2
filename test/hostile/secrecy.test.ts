import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EventStream } from '../support/event-stream.ts';
import { spellings } from '../support/postern.ts';
import { Program, postern } from '../support/program.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream, type Script } from '../support/recording-upstream.ts';
import { Served } from '../support/served.ts';

const H = 'Host: a\r\n';

/** What was found where; a secret that stands nowhere leaves it empty. */
function findings(secrets: Readonly<Record<string, string>>, sinks: Readonly<Record<string, string>>): string[] {
  return Object.entries(sinks).flatMap(([sink, text]) =>
    Object.entries(secrets).flatMap(([name, secret]) =>
      Object.entries(allSpellings(secret))
        .filter(([, form]) => text.includes(form))
        .map(([spelling]) => `${sink} has ${name}, ${spelling}`),
    ),
  );
}

function allSpellings(secret: string): Record<string, string> {
  const bytes = Buffer.from(secret);
  const { hex = '' } = spellings(secret);
  // Base64 of the same bytes looks different at each of three positions.
  const shifted = [1, 2].map(n =>
    Buffer.concat([Buffer.alloc(n), bytes])
      .toString('base64')
      .slice(4, -4),
  );
  return {
    ...spellings(secret),
    'upper-case hex': hex.toUpperCase(),
    'upper-case percent-encoded': [...bytes].map(byte => `%${byte.toString(16).toUpperCase()}`).join(''),
    'list of bytes': [...bytes].join(','),
    reversed: [...secret].reverse().join(''),
    'base64, shifted by one': shifted[0]!,
    'base64, shifted by two': shifted[1]!,
    'numbers of characters': [...bytes].map(byte => `\\u00${byte.toString(16)}`).join(''),
  };
}

/** Every file of a folder as text, by name. */
async function filesOf(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    files[`file ${path.relative(folder, file)}`] = await readFile(file, 'latin1');
  }
  return files;
}

describe('a secret stands in no sink, whatever goes wrong', () => {
  const upstream = new RecordingUpstream();
  const sinks: Record<string, string> = {};
  const secrets: Record<string, string> = {};
  let served: Served;
  let events: EventStream;
  let plain: ReturnType<typeof createServer>;
  let folder = '';

  beforeAll(async () => {
    await upstream.listen();
    folder = await mkdtemp(path.join(tmpdir(), 'postern-secrecy-'));
    plain = createServer(socket => {
      socket.on('error', () => {});
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
    }).listen(0, '127.0.0.1');
    await new Promise(resolve => plain.once('listening', resolve));
    // Throws on a signal, as nobody else would: with a secret in the message, the cause and a member.
    await writeFile(
      path.join(folder, 'crash.mjs'),
      `import { readFileSync } from 'node:fs';
       process.on('SIGUSR2', () => setImmediate(() => {
         const secret = readFileSync(${JSON.stringify(path.join(folder, 'crash-with'))}, 'utf8');
         const error = new Error('cannot send Authorization: Bearer ' + secret, { cause: new Error('GET /x?token=' + secret) });
         error.command = { name: 'get', args: [secret] };
         error.token = secret;
         throw error;
       }));`,
    );
    served = await Served.start({
      config: `
upstreams:
  u: { url: "${upstream.url}", response_timeout: 300ms, idle_timeout: 300ms, max_connections: 1, queue: { size: 0 } }
  gone: { url: "http://nowhere.invalid:80" }
  clear: { url: "https://127.0.0.1:${(plain.address() as { port: number }).port}" }
credentials:
  - { header: authorization, scheme: Bearer }
  - { header: x-api-key }
  - { query: auth_token }
  - { cookie: api_token }
  - { websocket_protocol: "token." }
  - { form: auth_token }
routes:
  - { path: /read/**, require: "{param.act}", resource: "x/{param.id}", inspect_body: 1KiB, upstream: u }
  - { path: /api/**, require: api, upstream: u, max_body: 100B }
  - { path: /public/**, access: public, upstream: u }
  - { path: "/odd/**", require: api, upstream: u, allow: [encoded_percent, encoded_slash] }
  - { path: /gone/**, require: api, upstream: gone }
  - { path: /clear/**, require: api, upstream: clear }
  - { path: /secret/**, require: secret, upstream: u }
store: { kind: embedded, path: ./data, deadline: 5s }
guard: { failures: 15, per: 60s }
log: { level: debug, access: all }
shutdown: { delay: 0s, grace: 1s }`,
      env: { NODE_OPTIONS: `--import ${path.join(folder, 'crash.mjs')}` },
    });
    secrets['the admin key'] = served.adminKey;
    events = await EventStream.open(served.ports.admin, served.adminKey);
  });
  afterAll(async () => {
    EventStream.leaveAll();
    await Program.killAll();
    await served.remove();
    await rm(folder, { recursive: true, force: true });
    await upstream.close();
    plain.close();
  });

  let count = 0;
  async function exchange(bytes: string, options: { half?: boolean } = {}): Promise<void> {
    const client = await RawClient.open(served.ports.proxy);
    client.write(bytes);
    if (options.half === true) {
      await new Promise(resolve => setTimeout(resolve, 20));
      client.reset();
      return;
    }
    await client.until(({ closed, ended, text }) => closed || ended || text.includes('\r\n\r\n'), 'answer');
    // A body may follow the head; what a closed connection leaves is all there is.
    await client.answer({ ms: 300 }).then(
      answer => {
        sinks[`answer ${++count}`] = answer.fields.join('\n') + answer.body.toString('latin1');
      },
      () => {
        sinks[`answer ${++count}`] = client.text;
      },
    );
    client.destroy();
  }

  const scripts: Record<string, Script> = {
    ok: ({ write }) => write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
    reset: ({ socket }) => void socket.resetAndDestroy(),
    silent: () => {},
    garbage: ({ write }) => write('SSH-2.0-x\r\n'),
    cut: ({ write, socket }) => {
      write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
      socket.end();
    },
  };

  test('on the way of a request, with the token at every place where one can stand, and at some where none should', async () => {
    const good = (await served.mint({ permissions: ['api'] })).secret;
    const revoked = await served.mint({ permissions: ['api'] });
    await served.admin('DELETE', `/v1/tokens/${revoked.id}`);
    const disabled = (await served.mint({ permissions: ['api'], state: 'disabled' })).secret;
    const brief = await served.mint({ permissions: ['api'] });
    const past = { expires_at: new Date(Date.now() - 1000).toISOString() };
    expect((await served.admin('PATCH', `/v1/tokens/${brief.id}`, past)).status).toBe(200);
    const expired = brief.secret;
    Object.assign(secrets, { good, revoked: revoked.secret, disabled, expired });

    const places = (secret: string): Record<string, [target: string, fields: string]> => ({
      authorization: ['/api/x', `Authorization: Bearer ${secret}\r\n`],
      'another field': ['/api/x', `X-Api-Key: ${secret}\r\n`],
      query: [`/api/x?a=1&auth_token=${secret}&b=2`, ''],
      cookie: ['/api/x', `Cookie: a=b; api_token=${secret}\r\n`],
      protocol: [
        '/api/x',
        `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: chat, token.${secret}\r\n`,
      ],
      'two places': [`/api/x?auth_token=${secret}`, `X-Api-Key: ${secret}\r\n`],
      'a broken scheme': ['/api/x', `Authorization: Bearer  ${secret}\r\n`],
      'no scheme': ['/api/x', `Authorization: ${secret}\r\n`],
      'a form of Basic': ['/api/x', `Authorization: Basic ${Buffer.from(`u:${secret}`).toString('base64')}\r\n`],
      path: [`/api/${secret}`, ''],
      'path of a public route': [`/public/${secret}/x`, ''],
      'path without a route': [`/${secret}`, ''],
      'path, percent-encoded': [`/public/${encodeAll(secret)}`, ''],
      'path, partly encoded': [`/public/%70${secret.slice(1)}`, ''],
      'path, encoded twice': [`/odd/%25${'70'}${secret.slice(1)}`, ''],
      'path, as a dot segment': [`/public/../${secret}`, ''],
      'a query of another name': [`/public/x?session=${secret}`, ''],
      referer: ['/api/x', `Referer: http://a/page?auth_token=${secret}\r\n`],
      agent: ['/public/x', `User-Agent: ${secret}\r\n`],
      forwarding: [
        '/public/x',
        `X-Forwarded-For: ${secret}\r\nX-Request-Id: ${secret}\r\nForwarded: for=${secret}\r\n`,
      ],
      via: ['/public/x', `Via: 1.1 ${secret}\r\n`],
      trace: ['/public/x', `traceparent: ${secret}\r\n`],
      'another permission': ['/secret/x', `Authorization: Bearer ${secret}\r\n`],
      'a dead name': ['/gone/x', `Authorization: Bearer ${secret}\r\n`],
      'no TLS': ['/clear/x', `Authorization: Bearer ${secret}\r\n`],
      'too large a body': ['/api/x', `Authorization: Bearer ${secret}\r\nContent-Length: 101\r\n`],
      'too large a head': ['/api/x', `Authorization: Bearer ${secret}\r\nX: ${'y'.repeat(17_000)}\r\n`],
      'too many fields': ['/api/x', `Authorization: Bearer ${secret}\r\n${'X: y\r\n'.repeat(101)}`],
      'an expectation': ['/api/x', `Authorization: Bearer ${secret}\r\nExpect: ${secret}\r\n`],
      'a bad field': ['/api/x', `Authorization: Bearer ${secret}\r\nBad ${secret}: x\r\n`],
      'a bad byte': ['/api/x', `Authorization: Bearer ${secret}\0\r\n`],
    });
    for (const secret of [good, revoked.secret, disabled, expired]) {
      for (const [target, fields] of Object.values(places(secret))) {
        await exchange(`GET ${target} HTTP/1.1\r\n${H}${fields}\r\n`);
      }
    }
    const bodies = (secret: string): Record<string, [type: string, text: string]> => ({
      form: ['x-www-form-urlencoded', `act=api&id=1&auth_token=${secret}`],
      'form, another permission': ['x-www-form-urlencoded', `act=other&id=1&auth_token=${secret}`],
      'form, encoded': ['x-www-form-urlencoded', `act=api&id=1&auth_token=${encodeAll(secret)}`],
      'form, twice': ['x-www-form-urlencoded', `auth_token=${secret}&auth_token=${secret}`],
      'form, another case': ['x-www-form-urlencoded', `Auth_Token=${secret}`],
      'form, as the resource': ['x-www-form-urlencoded', `act=other&id=${secret}&auth_token=${good}`],
      JSON: ['json', JSON.stringify({ act: 'api', id: 1, auth_token: secret })],
      'JSON, no text': ['json', JSON.stringify({ act: 'api', auth_token: [secret] })],
      'JSON, as a name': ['json', JSON.stringify({ [secret]: 1, auth_token: good })],
      'JSON, broken': ['json', `{"auth_token":"${secret}"`],
      'JSON, twice': ['json', `{"auth_token":"${secret}","auth_token":"${secret}"}`],
      'JSON, in a batch': ['json', JSON.stringify([{ act: 'api', auth_token: secret }])],
      'no kind that is read': [secret, secret],
    });
    for (const secret of [good, revoked.secret, disabled, expired]) {
      for (const [type, text] of Object.values(bodies(secret))) {
        const head = `POST /read/x HTTP/1.1\r\n${H}Content-Type: application/${type}\r\n`;
        await exchange(`${head}Content-Length: ${text.length}\r\n\r\n${text}`);
      }
    }
    const authorized = `${H}Authorization: Bearer ${good}\r\n`;
    for (const script of Object.values(scripts)) {
      upstream.reset();
      upstream.script = script;
      await exchange(`GET /api/x?auth=${good} HTTP/1.1\r\n${authorized}\r\n`);
    }
    upstream.script = scripts['silent']!;
    await exchange(`GET /api/x HTTP/1.1\r\n${authorized}\r\n`, { half: true });
    await exchange(`POST /api/x HTTP/1.1\r\n${authorized}Content-Length: 90\r\n\r\n${good}`, { half: true });
    // Broken framing with the token in it, an unknown method and version, a request line that is none.
    await exchange(`POST /api/x HTTP/1.1\r\n${authorized}Transfer-Encoding: chunked\r\n\r\n${good}\r\n`);
    await exchange(`${good.replace('_', '').toUpperCase()} / HTTP/1.1\r\n${H}\r\n`);
    await exchange(`GET /api/${good} HTTP/9.9\r\n${H}\r\n`);
    await exchange(`${good}\r\n\r\n`);
    await exchange(`GET http://${good}/ HTTP/1.1\r\nHost: ${good}\r\n\r\n`);
    await exchange(`CONNECT ${good}:80 HTTP/1.1\r\nHost: ${good}:80\r\n\r\n`);
    sinks['metrics'] = await served.metrics();
    expect(events.of('change').length).toBeGreaterThan(0);
    expect(events.of('refusal').length).toBeGreaterThan(50);
    sinks['events'] = events.text;
    await served.logged();
    expect(findings(secrets, { ...sinks, log: served.program.stdout, stderr: served.program.stderr })).toEqual([]);
  });

  test('in management: answers but those that make a secret, refusals, and what is told of use', async () => {
    const made = await served.admin('POST', '/v1/tokens', { name: 'made', permissions: ['api'] });
    const { id } = made.body['token'] as { id: string };
    const old = made.body['secret'] as string;
    const rotated = await served.admin('POST', `/v1/tokens/${id}/rotate`, { grace: '1h' });
    const fresh = rotated.body['secret'] as string;
    Object.assign(secrets, { 'a rotated secret': old, 'its successor': fresh });
    expect(await served.status('/api/x', fresh)).toBeGreaterThanOrEqual(200);

    const targets: [string, string, unknown?][] = [
      ['GET', '/v1/tokens'],
      ['GET', '/v1/tokens?state=revoked'],
      ['GET', `/v1/tokens/${id}`],
      ['GET', `/v1/tokens/${id}/events`],
      ['GET', `/v1/tokens/${id}/usage`],
      ['PATCH', `/v1/tokens/${id}`, { name: 'renamed' }],
      ['POST', `/v1/tokens/${id}/disable`],
      ['GET', `/v1/tokens/${fresh}`],
      ['GET', `/v1/tokens?cursor=${fresh}`],
      ['GET', `/v1/events?token=${fresh}/`],
      ['GET', `/v1/events?type=${fresh}`],
      ['GET', `/v1/tokens?limit=${fresh}`],
      ['GET', `/v1/tokens?expires_before=${fresh}`],
      ['POST', '/v1/tokens', { expires_at: fresh }],
      ['POST', '/v1/tokens', { secret: fresh }],
      ['POST', '/v1/tokens', { permissions: fresh }],
      ['POST', '/v1/tokens', { owner: fresh }],
      ['POST', '/v1/tokens', fresh],
      ['PUT', '/v1/tokens/declared', { secret_sha256: fresh }],
      ['GET', `/v1/${fresh}`],
    ];
    for (const [method, target, body] of targets) {
      const answer = await served.admin(method, target, body);
      sinks[`${method} ${target.replaceAll(fresh, '…')} ${answer.status} ${++count}`] =
        answer.text + [...answer.headers].join('\n');
    }
    for (const [port, target] of [
      [served.ports.admin, '/v1/tokens'],
      [served.ports.admin, `/${fresh}`],
      [served.ports.telemetry, `/${fresh}`],
      [served.ports.telemetry, '/readyz'],
    ] as const) {
      for (const value of [`Bearer ${fresh}`, `Bearer ${served.adminKey}x`, fresh, `Basic ${fresh}`]) {
        const response = await fetch(`http://127.0.0.1:${port}${target}`, { headers: { Authorization: value } });
        sinks[`a bad key ${++count}`] = (await response.text()) + [...response.headers].join('\n');
      }
    }
    sinks['metrics'] = await served.metrics();
    sinks['events'] = events.text;
    await served.logged();
    expect(findings(secrets, { ...sinks, log: served.program.stdout, stderr: served.program.stderr })).toEqual([]);
  });

  test('in a configuration that is refused, on the command line, and in its failures', async () => {
    const word = 'hunter2-Zq8RkT0mWvYb3XsLd9';
    const file = path.join(folder, 'bad.yaml');
    await writeFile(
      file,
      `upstreams: { u: { url: "http://user:${word}@127.0.0.1:3000/path" } }
routes: [{ path: /** }]
admin: { keys: [{ name: a, role: admin, key: "${word}" }, { name: b, role: admin, key_sha256: "${word}" }] }
tokens:
  peppers: [{ id: p1, key: "${word}" }]
  declared: [{ id: d, secret_sha256: "${word}" }]
${word}`,
    );
    const own = { ...secrets, 'a word of the configuration': word };
    const outputs: Record<string, string> = {};
    const closed = { POSTERN_ADMIN_URL: 'http://127.0.0.1:1', POSTERN_ADMIN_KEY: word };
    const wrong = { POSTERN_ADMIN_URL: `http://127.0.0.1:${served.ports.admin}`, POSTERN_ADMIN_KEY: word };
    const lines: [code: number, args: string[], env?: Record<string, string>][] = [
      [2, ['check', '--config', file]],
      [2, ['check', '--config', file, '--json']],
      [2, ['serve', '--config', file]],
      [0, ['check', '--config', served.file]],
      [0, ['check', '--config', served.file, '--json']],
      [1, ['token', 'list'], closed],
      [1, ['token', 'list'], wrong],
    ];
    await Promise.all(
      lines.map(async ([expected, args, env = {}], i) => {
        const { code, stdout, stderr } = await postern(args, { cwd: folder, env });
        expect([args, code]).toEqual([args, expected]);
        outputs[`${i}. ${args.join(' ')}`] = stdout + stderr;
      }),
    );
    // A running instance refuses the same file, and says so in its log.
    await writeFile(served.file, await readFile(file, 'utf8'));
    served.program.signal('SIGHUP');
    await served.said('the new configuration is not taken');
    await served.logged();
    expect(findings(own, { ...outputs, log: served.program.stdout, stderr: served.program.stderr })).toEqual([]);
  });

  test('in the files of the store, and in what is left of a crash', async () => {
    await writeFile(path.join(folder, 'crash-with'), secrets['good']!);
    served.program.signal('SIGUSR2');
    const { code } = await served.program.exited();
    expect(code).not.toBe(0);
    const { stdout, stderr } = served.program;
    expect(stdout).toContain('the process crashes');
    const files = await filesOf(path.join(served.folder, 'data'));
    expect(Object.keys(files).some(name => name.includes('.db'))).toBe(true);
    // The key's own file is where it may be.
    delete files['file admin.key'];
    expect(findings(secrets, { ...files, stdout, stderr })).toEqual([]);
  });
});

describe('peppers', () => {
  const upstream = new RecordingUpstream();
  const peppers = {
    p1: 'pepper-one-dIbNkq7S4xHpVw2TzCmYr9Ge',
    p2: 'pepper-two-Fh3uLs8JtXaQo5WvKbRn6Zyc',
  };
  let folder = '';

  beforeAll(async () => {
    await upstream.listen();
    folder = await mkdtemp(path.join(tmpdir(), 'postern-pepper-'));
    for (const [id, key] of Object.entries(peppers)) await writeFile(path.join(folder, id), `${key}\n`);
  });
  afterAll(async () => {
    await Program.killAll();
    await rm(folder, { recursive: true, force: true });
    await upstream.close();
  });

  const start = (...ids: (keyof typeof peppers)[]): Promise<Served> =>
    Served.start({
      folder,
      config: `
upstreams: { u: { url: "${upstream.url}" } }
routes: [{ path: /** }]
tokens: { peppers: [${ids.map(id => `{ id: ${id}, key_file: ${id} }`).join(', ')}] }
guard: { failures: 0 }
log: { level: debug }
store: { kind: embedded, path: ./data, deadline: 5s }`,
    });

  test('tokens survive the change of a pepper when they are used meanwhile, and no pepper is ever told', async () => {
    const said: Record<string, string> = {};
    let served = await start('p1');
    const used = await served.mint();
    const unused = await served.mint();
    expect([await served.status('/x', used.secret), await served.status('/x', unused.secret)]).toEqual([200, 200]);
    await served.stop({ keep: true });
    said['p1'] = served.program.stdout + served.program.stderr;

    served = await start('p2', 'p1');
    expect(await served.status('/x', used.secret)).toBe(200);
    // Rewritten behind the request.
    await expect.poll(() => served.metric('postern_store_operations_total{operation="rekey",result="ok"}')).toBe(1);
    const fresh = await served.mint();
    expect(await served.status('/x', fresh.secret)).toBe(200);
    said['metrics'] = await served.metrics();
    await served.stop({ keep: true });
    said['p2 and p1'] = served.program.stdout + served.program.stderr;

    served = await start('p2');
    expect(await served.status('/x', used.secret), 'used in the overlap').toBe(200);
    expect(await served.status('/x', fresh.secret), 'made in the overlap').toBe(200);
    expect(await served.status('/x', unused.secret), 'not used in the overlap').toBe(401);
    await served.stop({ keep: true });
    said['p2'] = served.program.stdout + served.program.stderr;

    const files = await filesOf(path.join(folder, 'data'));
    expect(
      findings({ ...peppers, used: used.secret, unused: unused.secret, fresh: fresh.secret }, { ...said, ...files }),
    ).toEqual([]);
  });
});

const encodeAll = (text: string): string => [...Buffer.from(text)].map(byte => `%${byte.toString(16)}`).join('');
