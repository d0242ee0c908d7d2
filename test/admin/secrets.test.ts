import { hash } from 'node:crypto';
import { expect, test } from 'vitest';
import { operations } from '../../src/admin/operations.ts';
import { type Admin, keys, openAdmin, type Reply } from './harness.ts';

/** Every form in which a secret could be found again. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  return [
    secret,
    secret.slice(4, -6),
    bytes.toString('hex'),
    bytes.toString('base64').slice(0, -4),
    bytes.toString('base64url').slice(0, -4),
    encodeURIComponent(secret),
    [...secret].reverse().join(''),
  ];
}

const digestsOf = (secret: string): string[] => [
  hash('sha256', secret, 'hex'),
  hash('sha256', secret, 'base64').slice(0, -2),
];

test('a secret is in the answer that makes it and nowhere else: not in any other answer, the log, or the audit trail', async () => {
  const admin: Admin = await openAdmin();
  const { json: made } = await admin.ask('POST', '/v1/tokens', { json: {}, fields: { 'idempotency-key': 'k' } });
  const id = made['token']!['id'] as string;
  const { json: rotated } = await admin.ask('POST', `/v1/tokens/${id}/rotate`, { json: { grace: '1h' } });
  const imported = hash('sha256', 'imported secret', 'hex');
  await admin.ask('PUT', '/v1/tokens/imported', { json: { secret_sha256: imported } });

  const replies: Reply[] = [];
  for (const { method, path } of operations) {
    for (const name of [id, 'imported', 'nothing']) {
      for (const [key, json] of [
        [keys.admin, undefined],
        [keys.admin, {}],
        [made['secret'] as string, {}],
        [null, { secret: made['secret'], [made['secret'] as string]: 1 }],
      ] as const) {
        // Here new secrets are made; they are not those that are looked for.
        const ask = json === undefined || method === 'GET' ? { key } : { key, json };
        replies.push(await admin.ask(method, path.replace('{id}', name), ask));
      }
    }
  }
  replies.push(await admin.ask('POST', '/v1/tokens', { json: {}, fields: { 'idempotency-key': 'k' } }));
  replies.push(await admin.ask('GET', `/v1/tokens/${id}/events`));
  replies.push(await admin.ask('GET', '/v1/tokens/imported/events'));
  replies.push(await admin.ask('PUT', '/v1/tokens/other', { json: { secret_sha256: imported } }));

  const sinks = [...replies.map(reply => reply.text + reply.rawFields.join('\n')), JSON.stringify(admin.log)];
  // A backup holds what is at rest: without a pepper that is plain digests.
  const others = sinks.filter(sink => !sink.startsWith('{"format":"postern-backup"'));
  expect(others.length).toBeLessThan(sinks.length);
  for (const secret of [made['secret'] as string, rotated['secret'] as string, keys.admin, keys.read]) {
    expect(secret.length).toBeGreaterThan(30);
    for (const form of formsOf(secret)) for (const sink of sinks) expect(sink).not.toContain(form);
    for (const digest of digestsOf(secret)) for (const sink of others) expect(sink).not.toContain(digest);
  }
  for (const sink of others) expect(sink).not.toContain(imported);
  expect(replies.length).toBeGreaterThan(100);
  await admin.dispose();
});
