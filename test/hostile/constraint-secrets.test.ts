import { scryptSync } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { EventStream } from '../support/event-stream.ts';
import { spellings } from '../support/postern.ts';
import { H, Rig } from '../support/rig.ts';

/** Passwords and keys of constraints, and what is kept of them, stand in no sink; passwords and keys not in the store either. */

const text = (bytes: Buffer): string => bytes.toString('base64').replaceAll('=', '');
const imported = 'imported-password-Xq7';
const salt = Buffer.from('saltsaltsaltsalt');
const hash = text(scryptSync(imported, salt, 32, { N: 1024, r: 8, p: 1 }));
const phc = `$scrypt$ln=10,r=8,p=1$${text(salt)}$${hash}`;

const planted = {
  password: 'Canary-password-9fJw2LmQ',
  another: 'Canary-other-password-Bz81',
  key: 'Canary-key-7YtRc5PwZk3NvXs0LdQm4HgB',
  'another key': 'Canary-second-key-6UfEo9TiMa2JrCx8Wq',
  imported,
};
const sealing = '0123456789abcdefFEDCBA9876543210';
const folder = mkdtempSync(path.join(tmpdir(), 'postern-canaries-'));
const keyFile = path.join(folder, 'sealing.key');
writeFileSync(keyFile, `${Buffer.from(sealing).toString('base64')}\n`, { mode: 0o600 });

const rig = new Rig({
  level: 'debug',
  routes: '\n  - { path: /public/**, access: public }\n  - { path: /** }',
  more: `
credentials: [{ header: x-api-key }]
store: { kind: embedded, path: ./data, deadline: 5s, encryption_key_file: "${keyFile}" }
guard: { failures: 0 }`,
});
beforeAll(() => rig.start());
afterEach(() => rig.settle());
afterAll(async () => {
  EventStream.leaveAll();
  await rig.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('in answers, changes, history, events, log, metrics and the files of the store', async () => {
  const { postern } = rig;
  const sinks: Record<string, string> = {};
  const events = await EventStream.open(postern.app.ports.admin, postern.app.generatedKey!);
  const ask = async (method: string, target: string, body?: unknown, headers: Record<string, string> = {}) => {
    const answer = await postern.admin(method, target, body, headers);
    sinks[`${Object.keys(sinks).length} ${method} ${target}`] = answer.text + [...answer.headers].join('\n');
    return answer;
  };
  const merge = { 'Content-Type': 'application/merge-patch+json' };
  const { password, another, key } = planted;

  const repeat = { 'Idempotency-Key': 'once' };
  const constraints = { signature: { key }, basic: { alice: password, bob: phc } };
  const created = await ask('POST', '/v1/tokens', { constraints }, repeat);
  expect(created.status).toBe(201);
  const secret = created.body['secret'] as string;
  const id = (created.body['token'] as { id: string }).id;
  expect((created.body['token'] as { constraints: unknown }).constraints).toEqual({
    signature: {},
    basic: { alice: true, bob: true },
  });
  expect((await ask('POST', '/v1/tokens', { constraints }, repeat)).headers.get('idempotency-replayed')).toBe('true');
  const otherwise = { ...constraints, basic: { alice: another, bob: phc } };
  expect((await ask('POST', '/v1/tokens', { constraints: otherwise }, repeat)).status).toBe(422);

  const patched = await ask(
    'PATCH',
    `/v1/tokens/${id}`,
    { constraints: { basic: { alice: another }, signature: { key: planted['another key'] } } },
    merge,
  );
  expect(patched.body['version']).toBe(2);
  await ask(
    'PATCH',
    `/v1/tokens/${id}`,
    {
      constraints: {
        basic: { carol: `${phc}x` },
        signature: { key: 'short-canary', other: 1 },
        methods: password,
      },
    },
    merge,
  );
  await ask(
    'PATCH',
    `/v1/tokens/${id}`,
    { constraints: { signature: { key: `${key} ` }, basic: { alice: `${password}\0`, dave: `$scrypt$${password}` } } },
    merge,
  );
  await ask('GET', `/v1/tokens/${id}`);
  await ask('GET', '/v1/tokens');
  const trail = await ask('GET', `/v1/tokens/${id}/events`);
  const changes = (trail.body['events'] as { changes: Record<string, unknown> }[]).map(event => event.changes);
  expect(changes[1]).toEqual({ constraint_secrets: { from: null, to: ['/signature', '/basic/alice'] } });
  await ask('GET', `/v1/tokens/${id}?at=${encodeURIComponent(new Date(Date.now() - 1).toISOString())}`);
  await ask('POST', `/v1/tokens/${id}/sign`, { target: '/x', expires_in: '1m' });

  for (const pair of [`alice:${another}`, `alice:${password}`, `nobody:${password}`, `bob:${imported}`]) {
    const signature = await postern.admin('POST', `/v1/tokens/${id}/sign`, { target: '/x', expires_in: '1m' });
    for (const target of ['/x', signature.body['target'] as string]) {
      const basic = `Authorization: Basic ${Buffer.from(pair).toString('base64')}\r\n`;
      const answer = await rig.ask(`GET ${target} HTTP/1.1\r\n${H}X-Api-Key: ${secret}\r\n${basic}\r\n`);
      sinks[`answer ${Object.keys(sinks).length}`] = answer.fields.join('\n') + answer.body.toString('latin1');
    }
  }
  for (const { head } of rig.upstream.requests) expect(head).not.toMatch(/authorization/i);
  await postern.quiet();
  sinks['log'] = await postern.log();
  sinks['metrics'] = await postern.metrics();
  sinks['events'] = events.text;

  const data = path.join(postern.folder, 'data');
  const files: Record<string, string> = {};
  for (const name of readdirSync(data)) files[`file ${name}`] = readFileSync(path.join(data, name), 'latin1');
  const kept = Object.values(files).join('');
  const hashes = [...kept.matchAll(/\$scrypt\$ln=\d+,r=\d+,p=\d+\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)/g)].map(
    match => match[2]!,
  );
  const sealed = [...kept.matchAll(/v1\.([A-Za-z0-9_-]{60,})/g)].map(match => match[1]!);
  expect([hashes.length > 2, sealed.length > 1]).toEqual([true, true]);

  const never = { ...planted, sealing };
  expect(findings(never, { ...sinks, ...files })).toEqual([]);
  const atRest = Object.fromEntries(
    [...new Set([...hashes, ...sealed])].map((each, i) => [`what is kept, ${i}`, each]),
  );
  expect(findings(atRest, sinks)).toEqual([]);
});

function findings(secrets: Record<string, string>, sinks: Record<string, string>): string[] {
  return Object.entries(sinks).flatMap(([sink, content]) =>
    Object.entries(secrets).flatMap(([name, secret]) =>
      Object.entries(spellings(secret))
        .filter(([, form]) => content.includes(form))
        .map(([spelling]) => `${sink} has ${name}, ${spelling}`),
    ),
  );
}
