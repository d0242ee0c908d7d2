import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StoreUnavailable } from '../../../src/errors.ts';
import type { TokenView } from '../../../src/manage/token-view.ts';
import { SecretRecovery } from '../../../src/secrets/recovery.ts';
import { asker } from '../../support/asker.ts';
import { ops, testKey } from '../../support/managed.ts';
import { type Answered, type Sent, World } from './world.ts';

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(() => world.dispose());

const unknown = '{"return_code":"FAILURE","message":"There is no such token.","data":{}}';
const as = (who: string) => ({
  add: (more: Record<string, string> = {}) => world.call({ cmd: 'access.add', auth_token: who, name: 'CI', ...more }),
  list: async () => (await world.call({ cmd: 'access.get_all', auth_token: who })).data as { id: string }[],
});
const alice = as('alice');
const failed = (answer: Answered) => expect(answer).toMatchObject({ return_code: 'FAILURE', data: {} });
/** Everything that there is of a token, but for its use. */
const stored = (id: string) => world.managed.store.tokens.getToken(id);

/** Every call that names a token, by bob. */
const callsOn = (id: string, who = 'bob'): Sent[] =>
  [
    `cmd=access.get&auth_token=${who}&token_id=${id}`,
    `cmd=access.update&auth_token=${who}&token_id=${id}&meta={"name":"x","extra":{}}`,
    `cmd=access.remove&auth_token=${who}&token_id=${id}`,
  ].map(query => ({ target: `/legacy?${query}` }));

describe('ids', () => {
  test('of somebody else are answered as unknown ones are, and nothing happens to them', async () => {
    const { id } = (await alice.add()).data;
    const before = await stored(id);
    for (const call of [...callsOn(id), ...callsOn('tok_00000000000000000000')]) {
      expect(await world.text(call)).toBe(unknown);
    }
    expect(await stored(id)).toEqual(before);
  });

  test.each(['native', 'session', 'access-keys', 'api-tokens'])('of kind %s are no ids here', async kind => {
    const { token } = await world.managed.tokens.create(ops, { kind, owner: 'acme' });
    const before = await stored(token.id);
    for (const call of callsOn(token.id, 'alice')) expect(await world.text(call)).toBe(unknown);
    expect(await stored(token.id)).toEqual(before);
    expect(await alice.list()).toEqual([]);
  });

  test('of this kind without an owner are nobody’s', async () => {
    const { token } = await world.managed.tokens.create(ops, { kind: 'access-api' });
    for (const call of callsOn(token.id, 'alice')) expect(await world.text(call)).toBe(unknown);
  });

  test.each(['', 'access-api', '*', 'tok_%', "' OR 1=1", '../tok_1', 'a'.repeat(4096), '__proto__', 'constructor'])(
    'may be anything: %j',
    async id => {
      failed(await world.call({ cmd: 'access.get', auth_token: 'alice', token_id: id }));
      failed(await world.call({ cmd: 'access.remove', auth_token: 'alice', token_id: id }));
      expect(world.faults).toEqual([]);
    },
  );

  test('that are given for a new token are not taken', async () => {
    const { data } = await alice.add({ id: 'tok_mine', token: 'pst_mine', token_id: 'tok_mine', owner: 'globex' });
    expect(data.id).toMatch(/^tok_[0-9A-Za-z]{20}$/);
    expect(await stored(data.id)).toMatchObject({ token: { owner: 'acme', kind: 'access-api' } });
  });
});

/** JSON that is none, or is something else than it seems. */
const hostile = [
  '[]',
  '1',
  'null',
  'true',
  '"{}"',
  '"{\\"db_permissions\\":[]}"',
  '[{"db_permissions":[]}]',
  '{"a":1}{"b":2}',
  '{"a":1,}',
  "{'a':1}",
  '{"a":NaN}',
  '\ufeff{}',
  '{"a":1e999}',
  '{"a":9007199254740993}',
  '{"__proto__":{"db_permissions":[]}}',
  '{"a":{"\\u005f_proto__":1}}',
  '{"stock_images":"0","stock_images":"1"}',
  '{"stock_images":"0","stock_\\u0069mages":"1"}',
  '{"stock_images":"2"}',
  '{"stock_images":true}',
  '{"stock_images":["1"]}',
  '{"stock_images":null}',
  '{"stockImages":"1"}',
  '{"DB_PERMISSIONS":[]}',
  '{"db-permissions":[]}',
  '{"db_permissions":null}',
  '{"db_permissions":0}',
  '{"db_permissions":"[]"}',
  '{"db_permissions":{"0":{"databases":["*"],"permissions":{"get":1}}}}',
  '{"db_permissions":[[]]}',
  '{"db_permissions":[null]}',
  '{"db_permissions":[{"databases":{"0":"*","length":1},"permissions":{"get":1}}]}',
  '{"db_permissions":[{"databases":[["*"]],"permissions":{"get":1}}]}',
  '{"db_permissions":[{"databases":[null],"permissions":{"get":1}}]}',
  '{"db_permissions":[{"databases":[""],"permissions":{"get":1}}]}',
  '{"db_permissions":[{"databases":["**"],"permissions":{"get":1}}]}',
  '{"db_permissions":[{"databases":["101/*"],"permissions":{"get":1}}]}',
  '{"db_permissions":[{"databases":["../1"],"permissions":{"get":1}}]}',
  '{"db_permissions":[{"databases":["1\\u0000"],"permissions":{"get":1}}]}',
  '{"db_permissions":[{"databases":["1"],"permissions":["get"]}]}',
  '{"db_permissions":[{"databases":["1"],"permissions":{"get":1.5}}]}',
  '{"db_permissions":[{"databases":["1"],"permissions":{"get":-1}}]}',
  '{"db_permissions":[{"databases":["1"],"permissions":{"get":[1]}}]}',
  '{"db_permissions":[{"databases":["1"],"permissions":{"get":null}}]}',
  '{"db_permissions":[{"databases":["1"],"permissions":{"GET":1}}]}',
  '{"db_permissions":[{"databases":["1"],"permissions":{"*":1}}]}',
  '{"db_permissions":[{"databases":["1"],"permissions":{"constructor":1}}]}',
  '{"db_permissions":[{"databases":["1"],"permissions":{"__proto__":{"get":1}}}]}',
  '{"db_permissions":[{"databases":["1"],"databases":["*"],"permissions":{"get":1}}]}',
  `${'{"a":'.repeat(100)}1${'}'.repeat(100)}`,
  `${'['.repeat(50_000)}`,
  `{"db_permissions":[${Array.from({ length: 1001 }, () => '{"databases":["1"],"permissions":{"get":1}}').join()}]}`,
];

describe('values that are not what they seem', () => {
  test('make no token', async () => {
    for (const extra of hostile) expect(await alice.add({ extra }), extra).toMatchObject({ return_code: 'FAILURE' });
    expect(await alice.list()).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test('change no token, neither as meta nor as extra in it', async () => {
    const { id } = (await alice.add({ extra: '{"stock_images":"0"}' })).data;
    const before = await stored(id);
    for (const text of hostile) {
      for (const meta of [text, `{"name":"x","extra":${text}}`]) {
        failed(await world.call({ cmd: 'access.update', auth_token: 'alice', token_id: id, meta }));
      }
    }
    expect(await stored(id)).toEqual(before);
    expect(world.faults).toEqual([]);
  });

  test('over 64 KiB are refused', async () => {
    const extra = (length: number) => JSON.stringify({ text: 'x'.repeat(length) });
    failed(await alice.add({ extra: extra(64 * 1024) }));
    expect((await alice.add({ extra: extra(64 * 1024 - 11) })).return_code).toBe('SUCCESS');
  });

  test('cannot reach what every object inherits', async () => {
    const extra = '{"constructor":{"prototype":{"db_permissions":1}},"toString":"x","hasOwnProperty":1}';
    const { data } = await alice.add({ extra });
    expect(JSON.stringify(data.extra)).toBe(extra);
    expect(await stored(data.id)).toMatchObject({ token: { permissions: 'inherit' } });
    expect(({} as Record<string, unknown>)['db_permissions']).toBeUndefined();
  });
});

describe('the envelope', () => {
  const breakout = '","data":{},"return_code":"SUCCESS","x":"</script><script>alert(1)</script>\\';

  test('holds whatever a name or an extra says', async () => {
    const extra = { [breakout]: breakout, return_code: 'FAILURE', data: null };
    const text = await world.text({
      method: 'POST',
      target: '/legacy',
      body: new URLSearchParams({
        cmd: 'access.add',
        auth_token: 'alice',
        name: breakout,
        extra: JSON.stringify(extra),
      }).toString(),
    });
    const answer = JSON.parse(text);
    expect(Object.keys(answer)).toEqual(['return_code', 'message', 'data']);
    expect(answer).toMatchObject({ return_code: 'SUCCESS', message: 'OK', data: { name: breakout, extra } });
    expect(Object.keys(answer.data)).toEqual(['id', 'token', 'name', 'extra']);
  });

  test('holds whatever a refusal has to name', async () => {
    const entry = { databases: ['1'], permissions: { [breakout]: 1 } };
    for (const extra of [{ db_permissions: [entry] }, { db_permissions: [{ ...entry, [breakout]: 1 }] }]) {
      const answer = await alice.add({ extra: JSON.stringify(extra) });
      expect(Object.keys(answer)).toEqual(['return_code', 'message', 'data']);
      failed(answer);
    }
  });

  test('never shows a secret again, nor one that was sent', async () => {
    const { id, token } = (await alice.add()).data;
    const answers = [
      await world.text({ target: '/legacy?cmd=access.get_all&auth_token=alice' }),
      ...(await Promise.all(callsOn(id, 'alice').map(call => world.text(call)))),
      await world.text({ target: `/legacy?cmd=access.get&auth_token=alice&token_id=${token}` }),
      await world.text({ target: `/legacy?cmd=access.get&auth_token=${token}&token_id=${id}` }),
      await world.text({ target: `/legacy?cmd=${token}&auth_token=${token}&cmd=access.add` }),
    ];
    for (const text of answers) expect(text).not.toContain(token.slice(4, -4));
  });
});

/** Targets and bodies that some server would read as a command of this API. */
const disguised: [string, Sent][] = [
  ['twice', { target: '/legacy?cmd=db.get&cmd=access.add' }],
  ['twice, the other way round', { target: '/legacy?cmd=access.add&cmd=db.get' }],
  ['twice the same', { target: '/legacy?cmd=access.add&cmd=access.add' }],
  ['as a list', { target: '/legacy?cmd[]=access.add' }],
  ['as an encoded list', { target: '/legacy?cmd%5B%5D=access.add' }],
  ['as a list behind a plain one', { target: '/legacy?cmd=db.get&cmd[0]=access.add' }],
  ['in upper case', { target: '/legacy?CMD=access.add' }],
  ['in upper case, behind a plain one', { target: '/legacy?cmd=db.get&Cmd=access.add' }],
  ['with white space in front', { target: '/legacy?+cmd=access.add' }],
  ['with a NUL behind it', { target: '/legacy?cmd%00x=access.add' }],
  ['behind a semicolon', { target: '/legacy?x=1;cmd=access.add' }],
  ['behind a semicolon in its value', { target: '/legacy?cmd=db.get;cmd=access.add' }],
  ['beside a name that is not UTF-8', { target: '/legacy?%ff=1&cmd=access.add' }],
  ['with a value that is not UTF-8', { target: '/legacy?cmd=access.add%ff' }],
  ['encoded twice', { target: '/legacy?cmd=access%252Eadd' }],
  ['encoded twice throughout', { target: '/legacy?cmd=%2561ccess.add' }],
  ['in capitals', { target: '/legacy?cmd=Access.Add' }],
  ['in wide letters', { target: '/legacy?cmd=%EF%BD%81ccess.add' }],
  ['with white space around the command', { target: '/legacy?cmd=%20access.add' }],
  ['with a NUL in the command', { target: '/legacy?cmd=access%00.add' }],
  ['with another separator', { target: '/legacy?cmd=access/add' }],
  ['in query and body', { method: 'POST', target: '/legacy?cmd=db.get', body: 'cmd=access.add' }],
  ['in body and query', { method: 'POST', target: '/legacy?cmd=access.add', body: 'cmd=db.get' }],
  ['twice in a body', { method: 'POST', target: '/legacy', body: 'cmd=db.get&cmd=access.add' }],
  ['in the body of a GET', { target: '/legacy', body: 'cmd=access.add' }],
  ['in the body of a PUT', { method: 'PUT', target: '/legacy', body: 'cmd=access.add' }],
  ['of a HEAD', { method: 'HEAD', target: '/legacy?cmd=access.add' }],
  ['of an OPTIONS', { method: 'OPTIONS', target: '/legacy?cmd=access.add' }],
  ['in JSON that is sent as a form', { method: 'POST', target: '/legacy', body: '{"x":"&cmd=access.add&y="}' }],
];

describe('a command in disguise', () => {
  const credentials = 'auth_token=alice&name=CI';

  test.each(disguised)('is neither carried out nor let through: %s', async (_, { target, body, ...sent }) => {
    const call = { ...sent, target: `${target}${target.includes('?') ? '&' : '?'}${credentials}` };
    failed(JSON.parse(await world.text({ ...call, ...(body === undefined ? {} : { body }) })));
    expect(world.asked).toEqual([]);
    expect(await alice.list()).toEqual([]);
  });

  test.each([
    'cmd=db.get&cmd=db.get',
    'cmd[]=db.get',
    'cmd=accessories.get',
    'cmd=db.access.get',
    'cmd=x&name=access.add',
    'command=access.add',
  ])('is not seen where there is none: %s goes on to the routes', async query => {
    expect(await world.send({ target: `/legacy?${query}` })).toBeNull();
    expect(await world.send({ method: 'POST', target: '/legacy', body: query })).toBeNull();
  });
});

describe('bodies', () => {
  const text = 'auth_token=alice&name=CI';
  const typed = (type: string, more: readonly string[] = []): Sent => ({
    method: 'POST',
    target: '/legacy?cmd=access.add',
    body: text,
    fields: ['Content-Type', type, ...more],
  });

  test.each<[string, Sent]>([
    ['JSON', { ...typed('application/json'), body: '{"auth_token":"alice","name":"CI"}' }],
    ['JSON that says it is a form', { ...typed('application/x-www-form-urlencoded'), body: `{"a":"&${text}` }],
    ['a form of parts', typed('multipart/form-data; boundary=x')],
    ['plain text', typed('text/plain')],
    ['another charset', typed('application/x-www-form-urlencoded; charset=utf-7')],
    ['compressed', typed('application/x-www-form-urlencoded', ['Content-Encoding', 'gzip'])],
    ['of two types', typed('application/x-www-form-urlencoded', ['Content-Type', 'text/plain'])],
    ['of a type under another name', typed('application/x-www-form-urlencoded', ['Content_Type', 'text/plain'])],
    ['without a type', { ...typed(''), fields: [] }],
    ['not UTF-8', { ...typed('application/x-www-form-urlencoded'), body: Buffer.from(`${text}\xff`, 'latin1') }],
    ['with a byte order mark', { ...typed('application/x-www-form-urlencoded'), body: `\ufeff${text}` }],
  ])('that are no plain form are refused: %s', async (_, sent) => {
    failed(JSON.parse(await world.text(sent)));
    expect(world.asked).toEqual([]);
  });

  test('in UTF-8 are taken, said or not', async () => {
    const sent = typed('Application/X-WWW-Form-Urlencoded; charset=UTF-8');
    expect(JSON.parse(await world.text(sent)).return_code).toBe('SUCCESS');
  });

  test('over 256 KiB are refused', async () => {
    const sent = { method: 'POST', target: '/legacy', body: `cmd=access.add&${text}&extra=${'x'.repeat(256 * 1024)}` };
    const answer = JSON.parse(await world.text(sent));
    expect(answer).toEqual({ return_code: 'FAILURE', message: 'The body is over 262144 bytes.', data: {} });
  });
});

describe('a page of another site', () => {
  const browser = ['Origin', 'https://evil.example', 'Cookie', 'session=alice; auth_token=alice', 'Authorization'];

  test('has nothing of what a form must say: what the browser adds by itself is not looked at', async () => {
    const sent = (body: string): Sent => ({
      method: 'POST',
      target: '/legacy',
      body,
      fields: ['Content-Type', 'application/x-www-form-urlencoded', ...browser, 'Bearer alice'],
    });
    failed(JSON.parse(await world.text(sent('cmd=access.add&name=CI'))));
    failed(JSON.parse(await world.text(sent('cmd=access.add&name=CI&auth_token='))));
    expect(world.asked).toEqual([]);
    failed(JSON.parse(await world.text(sent('cmd=access.add&name=CI&auth_token=guess'))));
    expect(world.asked).toEqual([
      { asker, cookie: null, cookieValue: null, authorization: null, bearer: null, parameter: 'guess' },
    ]);
    expect(await alice.list()).toEqual([]);
  });
});

describe('credentials', () => {
  test('that are no good count as guesses; others do not', async () => {
    const answer = (who: string) => world.send({ target: `/legacy?cmd=access.get_all&auth_token=${who}` });
    expect(await answer('guess')).toMatchObject({ guessed: true });
    expect(await answer('issued')).toMatchObject({ guessed: true });
    expect(await answer('x'.repeat(2000))).toMatchObject({ guessed: true });
    for (const who of ['alice', 'down', '']) expect(await answer(who)).not.toHaveProperty('guessed');
    expect(world.asked.some(({ parameter }) => parameter?.startsWith('xx'))).toBe(false);
  });

  test('of an account that is disabled or deleted manage nothing', async () => {
    const { id } = (await alice.add()).data;
    const before = await stored(id);
    await world.managed.accounts.patch({ actor: ops, id: 'acme' }, { enabled: false });
    failed(await alice.add());
    for (const call of callsOn(id, 'alice')) failed(JSON.parse(await world.text(call)));
    expect((await stored(id))?.token).toEqual(before?.token);
  });

  test('take a token in shadow mode nowhere but away', async () => {
    const { id } = (await alice.add()).data;
    await world.managed.tokens.patch({ actor: ops, id }, { mode: 'shadow' });
    failed(await world.call({ cmd: 'access.update', auth_token: 'alice', token_id: id, meta: '{"name":"x"}' }));
    expect((await world.call({ cmd: 'access.remove', auth_token: 'alice', token_id: id })).return_code).toBe('SUCCESS');
    expect(await stored(id)).toMatchObject({ token: { state: 'revoked' } });
  });
});

describe('a store that does not answer', () => {
  const away = (sent: boolean) => async (): Promise<never> => {
    throw new StoreUnavailable('away', { sent });
  };

  test('is never a token that does not exist', async () => {
    const cut = await World.open({ get: away(false), list: away(false) });
    for (const { target } of [
      ...callsOn('tok_1', 'alice'),
      { target: '/legacy?cmd=access.get_all&auth_token=alice' },
    ]) {
      const answer = JSON.parse(await cut.text({ target }));
      expect(answer).toEqual({
        return_code: 'FAILURE',
        message: 'The token store is not available. Try again.',
        data: {},
      });
    }
    await cut.dispose();
  });

  test('leaves open whether a change was made', async () => {
    const cut = await World.open({ create: away(true) });
    const { message } = await cut.call({ cmd: 'access.add', auth_token: 'alice', name: 'CI' });
    expect(message).toMatch(/may have been done/);
    await cut.dispose();
  });

  test('and what nobody expected is logged, and not told', async () => {
    const cut = await World.open({
      get: async () => {
        throw new Error('at /srv/postern: password=hunter2');
      },
    });
    const answer = await cut.text(callsOn('tok_1', 'alice')[0]!);
    expect(answer).toBe('{"return_code":"FAILURE","message":"Something went wrong here.","data":{}}');
    expect(cut.faults).toHaveLength(1);
    await cut.dispose();
  });
});

describe('secrets that are recoverable', () => {
  test('are shown again, until they are rotated, and to nobody else', async () => {
    const recovering = await World.open({}, new SecretRecovery(testKey));
    const call = (who: string, cmd: string, more: object = {}) =>
      recovering.call({ cmd: `access.${cmd}`, auth_token: who, ...more });
    const { id, token } = (await call('alice', 'add', { name: 'CI' })).data;
    const other = (await call('alice', 'add', { name: 'Other' })).data;
    const seen = async () => [
      (await call('alice', 'get', { token_id: id })).data.token,
      (await call('alice', 'update', { token_id: id, meta: '{"name":"x"}' })).data.token,
      ...(await call('alice', 'get_all')).data.map((hash: { token: string }) => hash.token),
    ];
    expect(await seen()).toEqual([token, token, token, other.token]);
    failed(await call('bob', 'get', { token_id: id }));
    const { secret } = await recovering.managed.tokens.rotate({ actor: ops, id }, 0);
    const end = `pst_…${secret.slice(-4)}`;
    expect(await seen()).toEqual([end, end, end, other.token]);
    await recovering.dispose();
  });

  test('are masked when their copies do not open, or are of another token', async () => {
    const recovery = new SecretRecovery(testKey);
    const recovering = await World.open(
      {},
      { seal: (secret, id) => recovery.seal(secret, `${id}x`), open: (...of) => recovery.open(...of) },
    );
    const { data } = await recovering.call({ cmd: 'access.add', auth_token: 'alice', name: 'CI' });
    const later = await recovering.call({ cmd: 'access.get', auth_token: 'alice', token_id: data.id });
    expect(later.data.token).toBe(`pst_…${data.token.slice(-4)}`);
    await recovering.dispose();
  });
});

test('a list that would fill the memory is refused, not cut short', async () => {
  let pages = 0;
  const full = await World.open({
    list: async (_actor, _filter, limit, position) => {
      pages++;
      const token = { id: 'tok_1', hint: null, name: '', extra: { text: 'x'.repeat(60_000) } } as unknown as TokenView;
      return { tokens: Array.from({ length: limit }, () => token), next: position };
    },
  });
  const { return_code, message } = await full.call({ cmd: 'access.get_all', auth_token: 'alice' });
  expect({ return_code, message }).toEqual({
    return_code: 'FAILURE',
    message: 'There are too many tokens for one list.',
  });
  expect(pages).toBeLessThan(5);
  await full.dispose();
});
