import { describe, expect, test } from 'vitest';
import { type Found, findOurs, Places, readCredential } from '../../../src/core/credential.ts';
import { decide, type Permit, permitPublic } from '../../../src/core/decide.ts';
import { type Form, headLimits } from '../../../src/core/form.ts';
import type { Route } from '../../../src/core/route.ts';
import { compileSubject } from '../../../src/core/token.ts';
import type { ClientFacts, Journey } from '../../../src/ports/forwarder.ts';
import { type FieldRules, type HostRule, incoming, outgoing } from '../../../src/proxy/fields.ts';
import { aToken } from '../../contract/harness.ts';
import { aForm, aQuestion, aRoute } from '../../support/request.ts';

const places = new Places([
  { kind: 'header', name: 'authorization', scheme: 'Bearer' },
  { kind: 'header', name: 'x-api-key', scheme: null },
  { kind: 'query', name: 'auth_token' },
  { kind: 'cookie', name: 'api_token' },
  { kind: 'websocket_protocol', prefix: 'token.' },
]);
const rules: FieldRules = {
  identityPrefix: 'x-postern-',
  identityName: 'X-Postern-',
  instance: 'postern-1',
  tokenQueries: places.queries,
};
const client: ClientFacts = {
  address: '192.0.2.1',
  network: '192.0.2.1',
  proto: 'http',
  host: 'api.example.com',
  fields: ['X-Forwarded-For', '192.0.2.1'],
  parentRequestId: null,
};
const preserve: HostRule = { kind: 'preserve', fallback: 'fallback' };
const requestId = '018f3c2e-7b1a-7c3d-9f00-0123456789ab';

const journeyOf = (
  form: Form,
  corsOrigin: string | null = null,
  limitFields: Journey['limitFields'] = null,
): Journey => ({
  exchange: null as never,
  form,
  requestId,
  client,
  draining: false,
  corsOrigin,
  limitFields,
  rejudge: null,
  inDoubt: false,
  charge: null,
});

/** A permit for a token of `acme`, as the decision makes it. */
function permitFor(form: Form, more: Partial<Route>): Permit {
  const stored = aToken('tok_1', { owner: null, permissions: ['*'] });
  const route = aRoute('/**', { require: { mode: 'all', permissions: ['api:read', 'api:write'] }, ...more });
  const subject = compileSubject(stored, null, [], stored.digest);
  const reading = readCredential(form, places);
  const decision = decide(aQuestion(form, route, { kind: 'found', subject }, { reading }));
  if (decision.kind !== 'permit') throw new Error(decision.code);
  return decision;
}

interface Sent {
  readonly target: string;
  readonly fields: readonly string[];
}

/** What goes out for a request with a token, and what for one on a public route. */
const withToken = (
  target: string,
  fields: string[] = [],
  more: Partial<Route> = {},
  host: HostRule = preserve,
): Sent => {
  const form = aForm(target, fields);
  return outgoing(permitFor(form, more), journeyOf(form), rules, host);
};
const onPublic = (target: string, fields: string[] = [], isOurs = (v: string) => v.startsWith('pst_')): Sent => {
  const form = aForm(target, fields);
  const cut = findOurs(form, places, isOurs);
  return outgoing(permitPublic(aRoute('/**', { access: 'public' }), cut), journeyOf(form), rules, preserve);
};

const named = ({ fields }: Sent, name: string): string[] =>
  fields.filter((_, i) => i % 2 === 1 && fields[i - 1]!.toLowerCase() === name);
const names = ({ fields }: Sent): string[] => fields.filter((_, i) => i % 2 === 0);
/** What of the client's own fields goes out. */
const passed = (fields: string[], more: Partial<Route> = {}): string[] => {
  const ours = withToken('/', [], more).fields.length;
  const all = withToken('/', fields, more).fields;
  return all.slice(2, 2 + all.length - ours);
};

const bearer = ['Authorization', 'Bearer tA'];

describe('the credential does not reach the upstream', () => {
  test.each<[string, string, string[]]>([
    ['in Authorization', '/w', ['aUTHORIZATION', 'bearer tA']],
    ['in a field of its own', '/w', ['x-API-key', 'tA']],
    ['in the query', '/w?auth_token=tA', []],
    ['in the query, its name encoded', '/w?auth%5Ftoken=tA', []],
    ['in a cookie', '/w', ['COOKIE', 'api_token=tA']],
    ['in an offered protocol', '/w', ['sec-websocket-PROTOCOL', 'token.tA']],
  ])('%s', (_, target, fields) => {
    const sent = withToken(target, fields);
    expect(JSON.stringify(sent)).not.toContain('tA');
    expect(sent.target).toBe('/w');
    expect(names(sent)).toEqual(names(withToken('/w')));
  });

  test.each([
    ['/w?a=1&auth_token=tA&b=%2f+?&&c', '/w?a=1&b=%2f+?&&c'],
    ['/w?auth_token=tA&a=1', '/w?a=1'],
    ['/w?a=1&auth_token=tA', '/w?a=1'],
    ['/w?auth_token=&auth_token=tA', '/w?auth_token='],
  ])('of %s every other byte stays', (target, sent) => {
    expect(withToken(target).target).toBe(sent);
  });

  test('other cookies and protocols stay', () => {
    expect(named(withToken('/', ['Cookie', 'a=1; api_token=tA;b="x y"']), 'cookie')).toEqual(['a=1;b="x y"']);
    expect(named(withToken('/', ['Sec-WebSocket-Protocol', 'v1, token.tA']), 'sec-websocket-protocol')).toEqual(['v1']);
  });

  test('unless the route forwards it', () => {
    const fields = ['Cookie', 'api_token=tA', 'Referer', 'https://a/?auth_token=tA'];
    const sent = withToken('/w?x', fields, { forwardCredential: true });
    expect(named(sent, 'cookie')).toEqual(['api_token=tA']);
    expect(named(sent, 'referer')).toEqual(['https://a/?auth_token=tA']);
    expect(withToken('/w?auth_token=tA', [], { forwardCredential: true }).target).toBe('/w?auth_token=tA');
  });

  test('fields of other schemes stay', () => {
    expect(passed(['X-Api-Key', 'tA', 'Authorization', 'Basic dEE6'])).toEqual(['Authorization', 'Basic dEE6']);
  });
});

describe('the Referer is freed of credentials', () => {
  const refererOf = (sent: Sent): string | undefined => named(sent, 'referer')[0];

  test.each([
    ['https://a/p?auth_token=tA', 'https://a/p'],
    ['https://a/p?x=1&auth_token=tB&y=2#f', 'https://a/p?x=1&y=2#f'],
    ['https://a/p?auth%5ftoken=tB', 'https://a/p'],
    ['https://a/p?Auth_Token[]=tB', 'https://a/p'],
    ['https://a/p?auth_token=tB&auth_token=tC', 'https://a/p'],
    ['https://a/p?x=/?y#?auth_token', 'https://a/p?x=/?y#?auth_token'],
    ['https://a/tA/p', undefined],
    ['https://a/p?x=tA', undefined],
    ['https://a/p#tA', undefined],
  ])('%s becomes %s', (referer, clean) => {
    expect(refererOf(withToken('/', [...bearer, 'Referer', referer]))).toBe(clean);
  });

  test('also where this request carries none: a page loads public files with its own address as Referer', () => {
    const fields = ['Referer', 'https://a/page?auth_token=pst_secret&x=1'];
    expect(refererOf(onPublic('/logo.png', fields))).toBe('https://a/page?x=1');
    const form = aForm('/', fields);
    const route = aRoute('/', { access: 'optional' });
    const decision = decide(aQuestion(form, route, { kind: 'none' }));
    if (decision.kind !== 'permit') throw new Error(decision.code);
    expect(refererOf(outgoing(decision, journeyOf(form), rules, preserve))).toBe('https://a/page?x=1');
  });

  test('and otherwise left as it is', () => {
    for (const referer of ['', 'https://a/', 'https://a/?', 'https://a/?&&x=%zz;y#?', 'not a URL']) {
      expect(refererOf(withToken('/', [...bearer, 'Referer', referer]))).toBe(referer);
    }
  });
});

describe('on public routes', () => {
  test('values of ours are cut, however many, and all else passes', () => {
    const sent = onPublic('/p?auth_token=pst_1&a=1&auth_token=foreign&auth%5ftoken=pst_2', [
      ...['Authorization', 'Bearer foreign', 'X-Api-Key', 'pst_3', 'Cookie', 'api_token=pst_4; api_token=x; b=2'],
      ...['Sec-WebSocket-Protocol', 'token.pst_5, v1, token.x'],
    ]);
    expect(JSON.stringify(sent)).not.toContain('pst_');
    expect(sent.target).toBe('/p?a=1&auth_token=foreign');
    expect(named(sent, 'authorization')).toEqual(['Bearer foreign']);
    expect(named(sent, 'cookie')).toEqual(['api_token=x; b=2']);
    expect(named(sent, 'sec-websocket-protocol')).toEqual(['v1, token.x']);
  });

  test('nobody is named', () => {
    expect(names(onPublic('/')).filter(name => name.startsWith('X-Postern-'))).toEqual([]);
  });

  test.each<[string, string, string[]]>([
    ['cookies', '/', ['Cookie', many(i => `api_token=pst_${i};`)]],
    ['protocols', '/', ['Sec-WebSocket-Protocol', many(i => `token.pst_${i},`)]],
    ['parameters', `/?${many(i => `auth_token=pst_${i}&`)}`, []],
  ])('as many %s as a head holds are cut within milliseconds', (_, target, fields) => {
    const once = (): number => {
      const start = performance.now();
      expect(JSON.stringify(onPublic(target, fields))).not.toContain('pst_');
      return performance.now() - start;
    };
    expect(Math.min(once(), once(), once(), once())).toBeLessThan(50);
  });
});

function many(piece: (i: number) => string): string {
  let text = '';
  for (let i = 0; text.length < headLimits.bytes - 300; i++) text += piece(i);
  return text;
}

describe('what tells the upstream who asks is ours alone', () => {
  test('identity stands last, and once', () => {
    expect(withToken('/', ['X-A', '1']).fields.slice(0, 4)).toEqual(['Host', 'api.example.com', 'X-A', '1']);
    expect(withToken('/').fields.slice(2, 10)).toEqual([
      ...['X-Forwarded-For', '192.0.2.1', 'X-Postern-Token-Id', 'tok_1'],
      ...['X-Postern-Permission', 'api:read api:write', 'X-Request-Id', requestId],
    ]);
    expect(names(withToken('/', [], { require: null }))).not.toContain('X-Postern-Permission');
  });

  test.each([
    ...['X-Postern-Owner', 'x-postern-OWNER', 'X_Postern_Owner', 'X-Postern_Owner', 'X.Postern.Owner', 'X-Postern-'],
    ...['x-postern-anything', 'X_Postern.Token-Id', 'X-Request-Id', 'X_Request_Id', 'X-Real-IP', 'X.Real.IP'],
    ...['X-Forwarded-For', 'X_Forwarded_For', 'X-Forwarded-Proto', 'X-Forwarded-User', 'X.Forwarded.Host', 'Forwarded'],
  ])("a client's %s never arrives", name => {
    expect(passed([name, 'root'])).toEqual([]);
    expect(JSON.stringify(onPublic('/', [name, 'root']))).not.toContain('root');
  });

  test('not even where the route forwards fields of that name', () => {
    expect(passed(['X-Postern-Owner', 'root'], { forwardHeaders: new Set(['x-postern-owner']) })).toEqual([]);
  });

  test('names that only look alike pass', () => {
    const fields = ['X-Posterns', '1', 'X-Postern', '2', 'X-Forwarded', '3', 'X-Request-Identity', '4'];
    expect(passed(fields)).toEqual(fields);
  });
});

describe('fields that make servers see another request', () => {
  test.each([
    ...['X-HTTP-Method-Override', 'X_HTTP_Method_Override', 'X-Http-Method', 'X-Method-Override', 'X-Rewrite-URL'],
    ...['X.Rewrite.Url', 'X-Original-URL', 'X-Original-Host', 'X_Original_Uri', 'X-Envoy-Original-Path', 'x-envoy-x'],
  ])('%s is dropped unless the route names it', name => {
    expect(passed([name, 'DELETE'])).toEqual([]);
    const lower = name.toLowerCase();
    expect(passed([name, 'DELETE'], { forwardHeaders: new Set([lower]) })).toEqual([name, 'DELETE']);
  });

  test('naming one lets no other spelling through', () => {
    expect(passed(['X_Original_URL', '/x'], { forwardHeaders: new Set(['x-original-url']) })).toEqual([]);
  });
});

describe('hop-by-hop fields end here', () => {
  test.each([
    ...['Connection', 'Keep-Alive', 'Proxy-Connection', 'Proxy-Authorization', 'TE', 'Trailer', 'Upgrade'],
    ...['Proxy-Authenticate', 'HTTP2-Settings', 'Expect', 'keep_alive', 'proxy_connection', 'Transfer_Encoding'],
  ])('%s', name => {
    expect(passed([name, name === 'Expect' ? '100-continue' : 'x'])).toEqual([]);
  });

  test("Transfer-Encoding is the message's own business", () => {
    expect(names(withToken('/', ['Transfer-Encoding', 'chunked']))).not.toContain('Transfer-Encoding');
  });

  test('what Connection names goes, in every spelling of the list', () => {
    expect(
      passed(['Connection', 'close, X-A', 'X-A', '1', 'x-a', '2', 'X-B', '3', 'Connection', 'x-c', 'X-C', '4']),
    ).toEqual(['X-B', '3']);
  });

  test('what is judged by cannot be named away', () => {
    const kept = ['Authorization', 'Cookie', 'Content-Length', 'Content-Type', 'Origin', 'Range', 'If-Match', 'Accept'];
    const fields = kept.flatMap(name => [name, name === 'Content-Length' ? '5' : 'x']);
    expect(passed(['Connection', `close, host, X-Postern-Token-Id, ${kept.join(', ')}`, ...fields])).toEqual(fields);
    const sent = withToken('/', ['Connection', 'x-postern-token-id, x-forwarded-for, host, x-request-id, via']);
    expect(sent.fields).toEqual(expect.arrayContaining(['Host', 'X-Postern-Token-Id', 'X-Forwarded-For', 'Via']));
  });
});

describe('Host', () => {
  test("is the client's, the upstream's or a fixed one, and stands once", () => {
    expect(named(withToken('/'), 'host')).toEqual(['api.example.com']);
    expect(named(withToken('/', [], {}, { kind: 'fixed', host: 'inner' }), 'host')).toEqual(['inner']);
    const old = aForm('/', [], { fields: [], version: '1.0' });
    expect(outgoing(permitFor(old, {}), journeyOf(old), rules, preserve).fields.slice(0, 2)).toEqual([
      'Host',
      'fallback',
    ]);
  });
});

describe('what marks the way', () => {
  const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

  test('Via grows by us, and keeps what was there', () => {
    expect(named(withToken('/'), 'via')).toEqual(['1.1 postern-1']);
    expect(named(withToken('/', ['Via', '1.0 a', 'via', '1.1 b']), 'via')).toEqual(['1.0 a, 1.1 b, 1.1 postern-1']);
  });

  test('a trace is kept with its state', () => {
    const sent = withToken('/', ['traceparent', trace, 'tracestate', 'a=1', 'Tracestate', 'b=2']);
    expect(named(sent, 'traceparent')).toEqual([trace]);
    expect(named(sent, 'tracestate')).toEqual(['a=1', 'b=2']);
    const later = trace.replace('00', 'cc');
    expect(named(withToken('/', ['traceparent', `${later}-what-comes`]), 'traceparent')).toEqual([
      `${later}-what-comes`,
    ]);
  });

  test.each<[string, string[]]>([
    ['absent', []],
    ['empty', ['traceparent', '']],
    ['twice', ['traceparent', trace, 'traceparent', trace]],
    ['of zeros', ['traceparent', trace.replace(/-[0-9a-f]{32}-/, `-${'0'.repeat(32)}-`)]],
    ['of a zero parent', ['traceparent', trace.replace(/-[0-9a-f]{16}-/, `-${'0'.repeat(16)}-`)]],
    ['of version ff', ['traceparent', trace.replace('00', 'ff')]],
    ['in upper case', ['traceparent', trace.toUpperCase()]],
    ['longer than its version knows', ['traceparent', `${trace}-more`]],
    ['with something behind it', ['traceparent', `${trace} x`]],
  ])('a trace that is %s is started anew, without its state', (_, fields) => {
    const sent = withToken('/', [...fields, 'tracestate', 'a=1']);
    expect(named(sent, 'traceparent')).toEqual([
      expect.stringMatching(/^00-018f3c2e7b1a7c3d9f000123456789ab-[0-9a-f]{16}-01$/),
    ]);
    expect(named(sent, 'tracestate')).toEqual([]);
  });
});

test('what is left goes out in order, with duplicates, in the spelling it came in', () => {
  const fields = [
    'X-B',
    '2',
    'x-a',
    '1',
    'X-B',
    '3',
    'Accept',
    '*/*',
    'x_c',
    '4',
    '__proto__',
    '5',
    'Sec-Fetch-Site',
    'none',
  ];
  expect(passed(fields)).toEqual(fields);
});

describe('the target', () => {
  test.each(['/', '/a?', '/a?b', '/a%20b;c//d?x=%2e%2e', '/a?auth_token=', '/?&&'])(
    'goes out byte for byte as it was judged: %s',
    target => {
      expect(withToken(target).target).toBe(target);
      expect(onPublic(target).target).toBe(target);
    },
  );

  test.each([
    ['/api/x', 1, '/x'],
    ['/api/x?y=/z', 1, '/x?y=/z'],
    ['/api', 1, '/'],
    ['/api/', 1, '/'],
    ['/api?y=/z', 1, '/?y=/z'],
    ['/api/?y', 1, '/?y'],
    ['/%61pi/x', 1, '/x'],
    ['/api/v1/x/y', 2, '/x/y'],
    ['/api/v1', 2, '/'],
    ['/api/v1?x', 2, '/?x'],
    ['/api/%61%20b?auth_token=tA&c', 1, '/%61%20b?c'],
    ['/api?auth_token=tA', 1, '/'],
  ])('%s without %d segments is %s', (target, stripSegments, sent) => {
    expect(withToken(target, [], { stripSegments }).target).toBe(sent);
  });
});

describe('an answer on its way to the client', () => {
  const raw = (...fields: string[]): Buffer[] => fields.map(text => Buffer.from(text, 'latin1'));
  const read = (fields: string[], status = 200, corsOrigin: string | null = null) =>
    incoming(raw(...fields), status, journeyOf(aForm('/'), corsOrigin), rules);
  const kept = (fields: string[], status = 200, corsOrigin: string | null = null): string[] => {
    const head = read(fields, status, corsOrigin);
    if (!head.ok) throw new Error(head.why);
    return head.fields.slice(0, -2);
  };

  test("carries the id of the request, and not the upstream's", () => {
    const head = read(['X-Request-Id', 'theirs', 'x-request-id', 'theirs']);
    expect(head).toMatchObject({ ok: true, fields: ['X-Request-Id', requestId] });
  });

  test('keeps order, duplicates, spelling and bytes', () => {
    const fields = [
      'Set-Cookie',
      'a=1',
      'set-cookie',
      'b=2',
      'X-A',
      'caf\u00e9\u0080',
      'Set-Cookie',
      'a=3',
      'Content-Type',
      'x',
    ];
    expect(kept(fields)).toEqual(fields);
  });

  test.each(['X-Postern-Owner', 'x_postern_owner', 'X.Postern.Token-Id'])('does not leak %s', name => {
    expect(kept([name, 'leak', 'X-A', '1'])).toEqual(['X-A', '1']);
  });

  test('loses what ends at the next hop', () => {
    const hops = ['Connection', 'Keep-Alive', 'Proxy-Authenticate', 'Proxy-Connection', 'TE', 'Trailer', 'Upgrade'];
    expect(kept([...hops.flatMap(name => [name, 'x']), 'Transfer-Encoding', 'chunked', 'X-A', '1'])).toEqual([
      'X-A',
      '1',
    ]);
    expect(kept(['Connection', 'X-A', 'x-a', '1', 'X-B', '2'])).toEqual(['X-B', '2']);
    expect(
      kept(['Connection', 'Set-Cookie, WWW-Authenticate', 'Set-Cookie', 'a', 'WWW-Authenticate', 'b']),
    ).toHaveLength(4);
  });

  test.each<[string, string[]]>([
    ['two lengths', ['Content-Length', '5', 'content-length', '5']],
    ['a length and chunks', ['Content-Length', '5', 'Transfer-Encoding', 'chunked']],
    ['chunks and a length', ['Transfer-Encoding', 'chunked', 'Content-Length', '5']],
    ['chunks twice', ['Transfer-Encoding', 'chunked', 'TRANSFER-ENCODING', 'chunked']],
    ['an encoding beside chunks', ['Transfer-Encoding', 'gzip, chunked']],
    ['chunks named twice', ['Transfer-Encoding', 'chunked, chunked']],
    ['another encoding', ['Transfer-Encoding', 'gzip']],
    ['a negative length', ['Content-Length', '-1']],
    ['a list of lengths', ['Content-Length', '5, 5']],
    ['an empty length', ['Content-Length', '']],
    ['a length that is no number', ['Content-Length', '0x5']],
  ])('is refused when its end is ambiguous: %s', (_, fields) => {
    expect(read(fields)).toEqual({ ok: false, why: expect.stringMatching(/./) });
  });

  describe('that is told what is left of limits', () => {
    const ours = ['RateLimit-Policy', '"day";q=5;w=86400', 'RateLimit', '"day";r=4;t=9'];
    const told = (fields: string[], status = 200, corsOrigin: string | null = null): string[] => {
      const head = incoming(
        raw(...fields),
        status,
        journeyOf(aForm('/'), corsOrigin, () => ours),
        rules,
      );
      if (!head.ok) throw new Error(head.why);
      return head.fields.slice(0, -2);
    };
    const theirs = [
      ...['RateLimit', 'ratelimit-policy', 'RateLimit-Limit', 'RateLimit_Policy', 'RATELIMIT.RESET'],
      ...['X-RateLimit-Limit', 'x-ratelimit-remaining', 'X_RateLimit_Reset', 'X-Rate-Limit-Limit', 'x.ratelimit.reset'],
    ];

    test.each([200, 201, 204, 301, 304, 404, 429, 500])('says it at its end, with status %d', status => {
      expect(told(['X-A', '1'], status)).toEqual(['X-A', '1', ...ours]);
    });
    test('says it where protocols are switched', () => {
      expect(told(['Upgrade', 'websocket', 'Connection', 'upgrade'], 101)).toEqual(ours);
    });
    test('says it once, and not ahead of itself', () => {
      expect(told(['Link', '<a>'], 103)).toEqual(['Link', '<a>']);
    });
    test.each(theirs)('has no %s of the upstream: it would be taken for ours', name => {
      expect(told([name, '1', 'Retry-After', '5'])).toEqual(['Retry-After', '5', ...ours]);
      expect(told([name, '1'], 103)).toEqual([]);
      expect(kept([name, '1'])).toEqual([name, '1']);
    });
    test('keeps what is only called alike', () => {
      const fields = ['X-RateLimited', '1', 'Rate', '1', 'X-Rate', '1', 'My-RateLimit', '1', 'RateLimits', '1'];
      expect(told(fields)).toEqual([...fields, ...ours]);
    });
    test('cannot be made to lose it', () => {
      expect(told(['Connection', 'RateLimit, RateLimit-Policy'])).toEqual(ours);
    });
    test('lets scripts read it where we say who may read', () => {
      const read = 'RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset';
      expect(told([], 200, 'https://a')).toEqual([
        ...['Access-Control-Allow-Origin', 'https://a', 'Vary', 'Origin', 'Access-Control-Expose-Headers', read],
        ...ours,
      ]);
      const said = ['Access-Control-Allow-Origin', '*'];
      expect(told(said, 200, 'https://a')).toEqual([...said, ...ours]);
    });
  });

  test('has no length where no body can be', () => {
    expect(kept(['Content-Length', '5'], 204)).toEqual([]);
    expect(kept(['Content-Length', '5'], 103)).toEqual([]);
    expect(kept(['Content-Length', '5'], 304)).toEqual(['Content-Length', '5']);
    expect(kept(['Content-Length', '5'])).toEqual(['Content-Length', '5']);
  });

  test.each([
    ['text/event-stream', true],
    ['Text/Event-Stream; charset=utf-8', true],
    ['text/event-stream ;x', true],
    ['text/event-streams', false],
    ['text/plain', false],
  ])('of the type %s is an event stream: %s', (type, eventStream) => {
    expect(read(['Content-Type', type])).toMatchObject({ eventStream });
  });

  test('may be read by an allowed origin when the upstream does not say', () => {
    const said = ['Access-Control-Allow-Origin', 'https://b', 'Vary', 'Origin'];
    expect(kept([], 200, 'https://a')).toEqual(['Access-Control-Allow-Origin', 'https://a', 'Vary', 'Origin']);
    expect(kept(said, 200, 'https://a')).toEqual(said);
    expect(kept([])).toEqual([]);
  });
});

test('a cut does not depend on where a value of the same text stands', () => {
  const form = aForm('/', ['Cookie', 'api_token=x', 'Cookie', 'api_token=x; b=1']);
  const cut: Found[] = [{ place: 'cookie', name: 'api_token', field: 2, value: 'x' }];
  const sent = outgoing(permitPublic(aRoute('/'), cut), journeyOf(form), rules, preserve);
  expect(named(sent, 'cookie')).toEqual(['api_token=x', 'b=1']);
});
