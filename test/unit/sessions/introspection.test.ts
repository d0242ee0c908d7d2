import { createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Asker, Introspected, Presented } from '../../../src/ports/session-source.ts';
import { type IntrospectionOptions, LegacySessions } from '../../../src/sessions/introspection.ts';
import { asker } from '../../support/asker.ts';
import { LegacySystem } from '../../support/legacy-system.ts';
import { ManualClock } from '../../support/manual-clock.ts';

/** Sessions of another system, asked for over real sockets. */

const nothing: Presented = {
  asker,
  cookie: null,
  cookieValue: null,
  authorization: null,
  bearer: null,
  parameter: null,
};
const withCookie = (cookie: string): Presented => ({ ...nothing, cookie });
const nobody = { kind: 'nobody' };
const outage = { kind: 'unavailable', retryAfter: 1 };

let legacy: LegacySystem;
let clock: ManualClock;
let lines: { fields: object; message: string; error: unknown }[];
const open: LegacySessions[] = [];

beforeEach(async () => {
  legacy = new LegacySystem();
  await legacy.listen();
  clock = new ManualClock();
  lines = [];
});
afterEach(async () => {
  for (const sessions of open.splice(0)) sessions.close();
  await legacy.close();
});

function sessions(more: Partial<IntrospectionOptions> = {}): LegacySessions {
  const note = (fields: object, message: string, error?: unknown) => void lines.push({ fields, message, error });
  const made = new LegacySessions(
    {
      url: `${legacy.url}/whoami`,
      forward: [{ kind: 'cookie' }, { kind: 'authorization' }, { kind: 'parameter', name: 'auth_token' }],
      account: ['account', 'id'],
      permissions: ['permissions'],
      owns: null,
      keepMs: 5000,
      deadlineMs: 5000,
      ...more,
    },
    clock,
    { info: note, warn: note, error: note, fault: (error, message) => note({}, message, error) },
  );
  open.push(made);
  return made;
}

const found = (account: string, permissions: readonly string[] | null = [], owns: readonly string[] | null = null) => ({
  kind: 'found',
  account,
  permissions,
  owns,
});

describe('what the system is shown', () => {
  test('only the named parts, with GET, at the URL', async () => {
    legacy.answers(200, { account: { id: 'a' } });
    const presented: Presented = {
      asker,
      cookie: 'sid=1; other=2',
      cookieValue: '1',
      authorization: 'Bearer xyz',
      bearer: 'xyz',
      parameter: 'a&b=c d',
    };
    await sessions({ url: `${legacy.url}/whoami?as=json` }).identify(presented);
    await sessions({ forward: [{ kind: 'cookie' }] }).identify(presented);
    await sessions({ forward: [{ kind: 'parameter', name: 'sid' }] }).identify(presented);
    const shown = legacy.asked.map(({ method, target, headers }) => [
      method,
      target,
      headers.cookie,
      headers.authorization,
    ]);
    expect(shown).toEqual([
      ['GET', '/whoami?as=json&auth_token=a%26b%3Dc%20d', 'sid=1; other=2', 'Bearer xyz'],
      ['GET', '/whoami', 'sid=1; other=2', undefined],
      ['GET', '/whoami?sid=a%26b%3Dc%20d', undefined, undefined],
    ]);
  });

  test('where nothing is presented, or what no request can carry, it is nobody and is not asked', async () => {
    const some = sessions();
    expect(await some.identify(nothing)).toEqual(nobody);
    expect(await some.identify(withCookie(''))).toEqual(nobody);
    expect(await some.identify(withCookie('a\r\nHost: b'))).toEqual(nobody);
    expect(await some.identify(withCookie('a=\u20ac'))).toEqual(nobody);
    expect(await some.identify({ ...nothing, parameter: '\ud800' })).toEqual(nobody);
    expect(await some.identify({ ...nothing, parameter: 'x'.repeat(5000) })).toEqual(nobody);
    expect(await sessions({ forward: [{ kind: 'cookie' }] }).identify({ ...nothing, bearer: 'x' })).toEqual(nobody);
    expect(legacy.asked).toEqual([]);
  });
});

describe('what its answers mean', () => {
  const rows: readonly [string, number, unknown, object][] = [
    ['an account by its text', 200, { account: { id: 'acme' } }, found('acme')],
    ['an account by its number', 200, { account: { id: 17 } }, found('17')],
    [
      'permissions as a list, each once',
      200,
      { account: { id: 1 }, permissions: ['b', 'a', 'b'] },
      found('1', ['a', 'b']),
    ],
    ['permissions as a map', 200, { account: { id: 1 }, permissions: { b: true, a: false } }, found('1', ['b'])],
    ['no permissions', 200, { account: { id: 1 }, permissions: [] }, found('1', [])],
    ['permissions that are null, which are none', 200, { account: { id: 1 }, permissions: null }, found('1', [])],
    ['permissions that are not there, which are none', 200, { account: { id: 1 } }, found('1', [])],
    ['no account', 200, { account: null }, nobody],
    ['an account without an id', 200, { account: {} }, nobody],
    ['nothing at the place', 200, {}, nobody],
    ['401', 401, 'x', nobody],
    ['403', 403, { account: { id: 'acme' } }, nobody],
    ['404', 404, '', nobody],
    ['500', 500, { account: null }, outage],
    ['429', 429, '', outage],
    ['204', 204, '', outage],
    ['201 with an account', 201, { account: { id: 'acme' } }, outage],
    ['a page', 200, '<html>', outage],
    ['nothing', 200, '', outage],
    ['two accounts', 200, '{"account":{"id":"a"},"account":null}', outage],
    ['bytes that are no text', 200, Buffer.from([0x22, 0xff, 0x22]), outage],
    ['an account that is a flag', 200, { account: { id: true } }, outage],
    ['an account that is a list', 200, { account: { id: ['a'] } }, outage],
    ['an account without a character', 200, { account: { id: '' } }, outage],
    ['the account 0, which is nobody in many systems', 200, { account: { id: 0 } }, outage],
    ['an account below 0', 200, { account: { id: -1 } }, outage],
    ['half an account', 200, { account: { id: 1.5 } }, outage],
    ['a number that is not exact, which stands as null', 200, '{"account":{"id":99999999999999999999}}', outage],
    ['a member that is refused', 200, '{"__proto__":{},"account":null}', outage],
    ['permissions that are a text', 200, { account: { id: 1 }, permissions: 'all' }, outage],
    ['a permission that is no text', 200, { account: { id: 1 }, permissions: ['a', 1] }, outage],
    ['a permission that is neither true nor false', 200, { account: { id: 1 }, permissions: { a: 1 } }, outage],
    ['a permission without a name', 200, { account: { id: 1 }, permissions: [''] }, outage],
    ['more permissions than are taken', 200, { account: { id: 1 }, permissions: names(1001) }, outage],
    ['more than 64 KiB', 200, { account: { id: 1 }, more: 'x'.repeat(64 * 1024) }, outage],
  ];

  test.each(rows)('%s', async (_, status, body, expected) => {
    legacy.answers(status, body);
    expect(await sessions().identify(withCookie('sid=1'))).toEqual(expected);
  });

  const owned: readonly [string, unknown, object][] = [
    ['resources, each once', ['db/2', 'db/1', 'db/2'], found('1', null, ['db/1', 'db/2'])],
    ['whole numbers, which are ids', [102, 0, '101'], found('1', null, ['0', '101', '102'])],
    ['patterns, as accounts have them', ['*', 'db/*'], found('1', null, ['*', 'db/*'])],
    ['no resources', [], found('1', null, [])],
    ['null, which owns nothing', null, found('1', null, [])],
    ['nothing, which owns nothing', undefined, found('1', null, [])],
    ['a text', '*', outage],
    ['a map', { 'db/1': true }, outage],
    ['a number', 101, outage],
    ['a resource without a character', [''], outage],
    ['a resource that is a list', [['db/1']], outage],
    ['a resource that is true', [true], outage],
    ['a resource that is null', [null], outage],
    ['half a number', [1.5], outage],
    ['a number below 0', [-1], outage],
    ['a resource with an empty segment', ['db//1'], outage],
    ['a resource with half a wildcard', ['db/1*'], outage],
    ['a resource with a line break', ['db/1\n'], outage],
    ['a resource that is too long', ['x'.repeat(257)], outage],
    ['more resources than are taken', names(1001), outage],
  ];

  test.each(owned)('of what the account owns: %s', async (_, owns, expected) => {
    legacy.answers(200, { account: { id: 1 }, owns });
    const some = sessions({ permissions: null, owns: ['owns'] });
    expect(await some.identify(withCookie('sid=1'))).toEqual(expected);
  });

  test('a number of a resource that is not exact names none', async () => {
    legacy.answers(200, '{"account":{"id":1},"owns":[99999999999999999999]}');
    expect(await sessions({ owns: ['owns'] }).identify(withCookie('sid=1'))).toEqual(outage);
  });

  test('where it is not asked what the account may do, it says nothing of that', async () => {
    for (const permissions of [['a'], 'nonsense']) {
      legacy.answers(200, { account: { id: 1 }, permissions });
      expect(await sessions({ permissions: null }).identify(withCookie('sid=1'))).toEqual(found('1', null));
    }
  });

  test('where it is not asked what the account owns, it says nothing of that', async () => {
    legacy.answers(200, { account: { id: 1 }, owns: 'nonsense' });
    expect(await sessions().identify(withCookie('sid=1'))).toEqual(found('1'));
  });

  test('a redirect is not followed, and says nothing', async () => {
    legacy.answers(302, '', { Location: `${legacy.url}/elsewhere` });
    expect(await sessions().identify(withCookie('sid=1'))).toEqual(outage);
    expect(legacy.asked.map(({ target }) => target)).toEqual(['/whoami']);
  });

  test('one that never comes, or never ends, is an outage after the deadline', async () => {
    legacy.script = () => {};
    expect(await sessions({ deadlineMs: 50 }).identify(withCookie('sid=1'))).toEqual(outage);
    legacy.script = response => response.writeHead(200, { 'Content-Length': '100' }).write('{');
    expect(await sessions({ deadlineMs: 50 }).identify(withCookie('sid=1'))).toEqual(outage);
  });

  test('an endless one is cut off at 64 KiB', async () => {
    let written = 0;
    let closed = () => {};
    const cut = new Promise<void>(resolve => {
      closed = resolve;
    });
    legacy.script = response => {
      response.writeHead(200).on('close', closed);
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(16 * 1024, ' '))) written += 16 * 1024;
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    };
    expect(await sessions().identify(withCookie('sid=1'))).toEqual(outage);
    await cut;
    expect(written).toBeGreaterThan(0);
  });

  test('one that is no HTTP, breaks off or is refused is an outage', async () => {
    const sockets = new Set<Socket>();
    let bytes = '';
    const server = createServer(socket => {
      sockets.add(socket);
      socket.on('error', () => {}).once('data', () => socket.end(bytes));
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as { port: number }).port}/`;
    for (bytes of ['hello\r\n\r\n', '', 'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"account":', 'HTTP/1.1 200 ']) {
      expect(await sessions({ url }).identify(withCookie('sid=1'))).toEqual(outage);
    }
    for (const socket of sockets) socket.destroy();
    await new Promise<void>(resolve => server.close(() => resolve()));
    expect(await sessions({ url }).identify(withCookie('sid=1'))).toEqual(outage);
  });

  test('a connection that was kept and has ended is no outage', async () => {
    const some = sessions({ keepMs: 0 });
    legacy.script = response => {
      response.writeHead(200).end('{"account":{"id":"a"}}');
    };
    expect(await some.identify(withCookie('sid=1'))).toEqual(found('a'));
    let first = true;
    legacy.script = (response, request) => {
      if (first) request.socket.destroy();
      else response.writeHead(200).end('{"account":{"id":"b"}}');
      first = false;
    };
    expect(await some.identify(withCookie('sid=1'))).toEqual(found('b'));
  });
});

describe('what is remembered', () => {
  test('those who are found and nobody alike, until the time is over, measured from the sending', async () => {
    const some = sessions({ keepMs: 5000 });
    legacy.script = (response, request) => {
      clock.advance(1000);
      if (request.headers.cookie === 'sid=1') response.writeHead(200).end('{"account":{"id":"a"}}');
      else response.writeHead(401).end();
    };
    const both = async () => [await some.identify(withCookie('sid=1')), await some.identify(withCookie('sid=2'))];
    expect(await both()).toEqual([found('a'), nobody]);
    // The first was sent at 0, the second at 1000.
    clock.advance(2999);
    expect(await both()).toEqual([found('a'), nobody]);
    expect(legacy.asked).toHaveLength(2);
    legacy.answers(401, '');
    clock.advance(1);
    expect(await both()).toEqual([nobody, nobody]);
    expect(legacy.asked).toHaveLength(3);
    clock.advance(1000);
    await both();
    expect(legacy.asked).toHaveLength(4);
  });

  test('no outage is', async () => {
    const some = sessions();
    legacy.answers(500, '');
    expect(await some.identify(withCookie('sid=1'))).toEqual(outage);
    legacy.answers(200, { account: { id: 'a' } });
    expect(await some.identify(withCookie('sid=1'))).toEqual(found('a'));
  });

  test('a wall clock that is set forward ends it too', async () => {
    const some = sessions();
    legacy.answers(200, { account: { id: 'a' } });
    await some.identify(withCookie('sid=1'));
    clock.stepWall(5000);
    await some.identify(withCookie('sid=1'));
    expect(legacy.asked).toHaveLength(2);
  });

  test('an answer that is older than it may be when it comes says nothing', async () => {
    legacy.script = response => {
      clock.advance(60_000);
      response.writeHead(200).end('{"account":{"id":"a"}}');
    };
    expect(await sessions().identify(withCookie('sid=1'))).toEqual(outage);
  });

  test('each client apart, by all that is shown', async () => {
    const some = sessions();
    legacy.script = (response, request) => {
      response.writeHead(200).end(JSON.stringify({ account: { id: String(request.headers.cookie).slice(4) } }));
    };
    expect(await some.identify(withCookie('sid=a'))).toEqual(found('a'));
    expect(await some.identify(withCookie('sid=b'))).toEqual(found('b'));
    await some.identify({ ...withCookie('sid=a'), authorization: 'x' });
    await some.identify({ ...withCookie('sid=a'), parameter: 'x' });
    expect(legacy.asked).toHaveLength(4);
  });

  test('one question for all who ask meanwhile', async () => {
    const some = sessions();
    let answer = () => {};
    legacy.script = response => {
      answer = () => response.writeHead(200).end('{"account":{"id":"a"}}');
    };
    const asked = Array.from({ length: 50 }, () => some.identify(withCookie('sid=1')));
    await expect.poll(() => legacy.asked.length).toBe(1);
    answer();
    expect(new Set(await Promise.all(asked)).size).toBe(1);
    expect(legacy.asked).toHaveLength(1);
  });
});

test('connections and questions at a time are bounded, and whoever finds no room is told to try again', async () => {
  const some = sessions();
  const waiting: (() => void)[] = [];
  legacy.script = response => waiting.push(() => response.writeHead(200).end('{"account":{"id":"a"}}'));
  const asked: Promise<Introspected>[] = [];
  for (let i = 0; i < 300; i++)
    asked.push(some.identify({ ...withCookie(`sid=${i}`), asker: askerOf(`192.0.2.${i}`) }));
  const refused = await Promise.all(asked.slice(256));
  expect(refused.every(({ kind }) => kind === 'unavailable')).toBe(true);
  await expect.poll(() => waiting.length).toBe(16);
  legacy.script = response => response.writeHead(200).end('{"account":{"id":"a"}}');
  for (const answer of waiting) answer();
  expect((await Promise.all(asked.slice(0, 256))).every(({ kind }) => kind === 'found')).toBe(true);
  expect(legacy.peak).toBe(16);
  expect(legacy.connections.size).toBe(16);
});

describe('one network', () => {
  test('has room for an eighth of the questions, and takes none of the others’', async () => {
    const some = sessions();
    const waiting: (() => void)[] = [];
    legacy.script = response => waiting.push(() => response.writeHead(200).end('{"account":{"id":"a"}}'));
    const of = (network: string) => (i: number) => ({ ...withCookie(`sid=${i}`), asker: askerOf(network) });
    const guesses = Array.from({ length: 40 }, (_, i) => some.identify(of('192.0.2.1')(i)));
    expect((await Promise.all(guesses.slice(32))).every(({ kind }) => kind === 'unavailable')).toBe(true);
    expect(lines.at(-1)!.fields).toEqual({ why: 'too many questions of one network' });
    const others = [1000, 1001].map(of('192.0.2.2')).map(presented => some.identify(presented));
    // What is asked already takes no room.
    const joined = some.identify(of('192.0.2.1')(0));
    await expect.poll(() => waiting.length).toBe(16);
    legacy.script = response => response.writeHead(200).end('{"account":{"id":"a"}}');
    for (const answer of waiting) answer();
    const good = await Promise.all([...guesses.slice(0, 32), ...others, joined]);
    expect(good.every(({ kind }) => kind === 'found')).toBe(true);
    expect((await some.identify(of('192.0.2.1')(99))).kind).toBe('found');
  });

  test('that has failed too often is not asked about, but for what was somebody’s the last time', async () => {
    const some = sessions();
    legacy.script = (response, request) => {
      if (request.headers.cookie === 'sid=good') response.writeHead(200).end('{"account":{"id":"a"}}');
      else response.writeHead(401).end();
    };
    let heldBack = false;
    const held: Asker = { network: '192.0.2.1', heldBack: () => heldBack };
    const by = (sid: string, who: Asker = held) => some.identify({ ...withCookie(`sid=${sid}`), asker: who });
    expect([await by('good'), await by('bad')]).toEqual([found('a'), nobody]);
    heldBack = true;
    expect([await by('good'), await by('bad'), await by('new')]).toEqual([found('a'), nobody, outage]);
    expect(legacy.asked).toHaveLength(2);
    clock.advance(60_000);
    expect([await by('good'), await by('bad'), await by('new')]).toEqual([found('a'), outage, outage]);
    expect(legacy.asked).toHaveLength(3);
    expect(await by('new', asker)).toEqual(nobody);
    // One that has ended is asked about once more, and is a guess from then on.
    legacy.answers(401, '');
    clock.advance(60_000);
    expect(await by('good')).toEqual(nobody);
    clock.advance(60_000);
    expect(await by('good')).toEqual(outage);
    expect(legacy.asked).toHaveLength(5);
    expect(lines).toEqual([]);
  });

  test('is not kept from sessions that are good where no answer is kept', async () => {
    const some = sessions({ keepMs: 0 });
    legacy.answers(200, { account: { id: 'a' } });
    const held: Asker = { network: '192.0.2.1', heldBack: () => true };
    expect(await some.identify(withCookie('sid=1'))).toEqual(found('a'));
    expect(await some.identify({ ...withCookie('sid=1'), asker: held })).toEqual(found('a'));
    expect(legacy.asked).toHaveLength(2);
  });
});

describe('what may be the fault of the configuration is a warning that names the key', () => {
  const words = () => lines.map(({ message }) => message);

  test('404, for as long as it is answered', async () => {
    const some = sessions();
    legacy.answers(404, { account: { id: 'planted' } });
    expect(await some.identify(withCookie('sid=planted'))).toEqual(nobody);
    legacy.answers(200, { account: { id: 'a' } });
    expect(await some.identify(withCookie('sid=1'))).toEqual(found('a'));
    legacy.answers(404, '');
    expect(await some.identify(withCookie('sid=2'))).toEqual(nobody);
    const line = expect.stringMatching(/404.+sessions\.introspect\.url/);
    expect(words()).toEqual([line, line]);
    expect(JSON.stringify(lines)).not.toContain('planted');
  });

  test.each([
    ['nothing at the place', {}],
    ['null at the place', { account: { id: null } }],
    ['an account at another place', { user: { id: 'planted' } }],
  ])('200 with %s, until somebody was found', async (_, body) => {
    const some = sessions();
    legacy.answers(200, body);
    expect(await some.identify(withCookie('sid=planted'))).toEqual(nobody);
    expect(words()).toEqual([expect.stringMatching(/200.+sessions\.introspect\.account/)]);
    // It is remembered, and said once.
    expect(await some.identify(withCookie('sid=planted'))).toEqual(nobody);
    legacy.answers(200, { account: { id: 'a' } });
    expect(await some.identify(withCookie('sid=1'))).toEqual(found('a'));
    legacy.answers(200, body);
    expect(await some.identify(withCookie('sid=2'))).toEqual(nobody);
    expect(lines).toHaveLength(1);
    expect(JSON.stringify(lines)).not.toContain('planted');
  });

  test.each([401, 403])('%i is none', async status => {
    legacy.answers(status, '');
    expect(await sessions().identify(withCookie('sid=1'))).toEqual(nobody);
    expect(lines).toEqual([]);
  });
});

test('neither what is presented nor what is answered is in a line of the log', async () => {
  const some = sessions({ deadlineMs: 100 });
  const presented = {
    ...withCookie('sid=planted-cookie'),
    authorization: 'Bearer planted-token',
    parameter: 'planted',
  };
  for (const [status, body] of [
    [500, 'planted'],
    [200, 'planted'],
    [200, { account: { id: ['planted'] } }],
  ] as const) {
    legacy.answers(status, body);
    await some.identify(presented);
  }
  legacy.script = (_, request) => void request.socket.destroy();
  await some.identify(presented);
  legacy.script = () => {};
  await some.identify(presented);
  expect(lines.map(({ fields }) => fields)).toEqual([
    { why: 'status 500' },
    { why: 'no JSON' },
    { why: 'what stands at `account` is no id' },
    { why: 'UND_ERR_SOCKET' },
    { why: 'too slow' },
  ]);
  expect(lines.every(({ error }) => error === undefined)).toBe(true);
  expect(JSON.stringify(lines)).not.toContain('planted');
});

const askerOf = (network: string): Asker => ({ network, heldBack: () => false });

function names(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `permission-${i}`);
}
