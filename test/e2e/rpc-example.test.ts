import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Program, root } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { Served } from '../support/served.ts';

/** The worked example of the README: its documents are sent to the API as printed, its table row by row to the proxy. */

const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
const section = /^## A legacy API, worked through$([\s\S]*?)^## /m.exec(readme)![1]!;
const documents = [...section.matchAll(/```json\n([\s\S]*?)```/g)].map(match => JSON.parse(match[1]!) as object);
const rows = [...section.matchAll(/^\| `([^`]+)` \| (?:`([^`]+)`|\(none\)) \| (\d{3}) \|/gm)].map(
  ([, command, database, status]) => ({ command: command!, database, status: Number(status) }),
);

const upstream = new RecordingUpstream();
let served: Served;
let secret = '';

beforeAll(async () => {
  await upstream.listen();
  const config = readFileSync(path.join(root, 'config/examples/rpc.yaml'), 'utf8');
  served = await Served.start({ config: config.replace('http://127.0.0.1:3000', upstream.url) });
  const [role, account, token] = documents;
  expect(await served.admin('POST', '/v1/roles', role)).toMatchObject({ status: 201 });
  expect(await served.admin('POST', '/v1/accounts', account)).toMatchObject({ status: 201 });
  const made = await served.admin('POST', '/v1/tokens', token);
  expect(made).toMatchObject({ status: 201 });
  secret = String(made.body['secret']);
});
afterAll(async () => {
  await Program.killAll();
  await upstream.close();
});

interface Call {
  readonly command: string;
  readonly database: string | undefined;
}

const rpcCall = ({ command, database }: Call) => ({
  method: command,
  params: database === undefined ? {} : { database },
});

async function statusOf(target: string, init: RequestInit = {}, authorized = true): Promise<number> {
  const headers = { ...(authorized && { authorization: `Bearer ${secret}` }), ...init.headers };
  const response = await fetch(`${served.proxy}${target}`, { ...init, headers });
  await response.arrayBuffer();
  return response.status;
}

const rpc = (body: unknown): Promise<number> =>
  statusOf('/rpc', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

const query = (pairs: Record<string, string | undefined>): string =>
  new URLSearchParams(
    Object.entries(pairs).filter((pair): pair is [string, string] => pair[1] !== undefined),
  ).toString();

describe('each row of the table', () => {
  test('is there', () => {
    expect(documents).toHaveLength(3);
    expect(rows).toHaveLength(13);
  });

  test.each(rows)('$command on $database is $status as a call of /rpc', async ({ status, ...call }) => {
    expect(await rpc(rpcCall(call))).toBe(status);
  });

  test.each(rows)(
    '$command on $database is $status as GET /api?cmd=…, token in the query',
    async ({ command: cmd, database, status }) => {
      expect(await statusOf(`/api?${query({ cmd, database, auth_token: secret })}`, {}, false)).toBe(status);
    },
  );

  test.each(rows)(
    '$command on $database is $status as POST /api, token in the form',
    async ({ command: cmd, database, status }) => {
      const body = query({ cmd, database, auth_token: secret });
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      expect(await statusOf('/api', { method: 'POST', headers, body }, false)).toBe(status);
    },
  );
});

test('the action may stand in the path', async () => {
  expect(await statusOf('/v2/db.get?database=sales')).toBe(200);
  expect(await statusOf('/v2/db.remove?database=sales')).toBe(403);
  expect(await statusOf('/v2/db.get?database=payroll')).toBe(403);
  expect(await statusOf('/v2/db.cell.get?database=sales')).toBe(400);
});

test('a list of calls passes when each call in it would', async () => {
  const [get, , add, remove] = rows.map(rpcCall);
  expect(await rpc([get, add])).toBe(200);
  expect(await rpc([get, remove])).toBe(403);
  expect(await rpc([remove, get])).toBe(403);
  expect(await rpc([])).toBe(400);
});
