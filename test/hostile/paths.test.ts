import { describe, expect, test } from 'vitest';
import { backends } from '../support/backends.ts';
import { below, pick, randomFrom, seed, several } from '../support/random.ts';
import { H, useRig } from '../support/rig.ts';

/** Paths: the string that is judged is byte for byte the string that the upstream gets. */

const rig = useRig();
const get = (target: string, fields = '', method = 'GET') => `${method} ${target} HTTP/1.1\r\n${H}${fields}\r\n`;

describe('a path that a server could resolve to another one is refused', () => {
  const paths = [
    '/public/../admin/x',
    '/public/..',
    '/public/../',
    '/..',
    '/.',
    '/./',
    '/public/./../admin',
    '/public/./x',
    '/public/.',
    '/api/..;/admin',
    '/api/.;x=y/admin',
    '/api/..;x=y/admin',
    '/public/;/admin',
    '/public/x;y',
    '/public/x%3by',
    '/public/x%3By',
    '/public;x/../admin',
    '/public/%2e%2e/admin',
    '/public/%2E./admin',
    '/public/.%2e/admin',
    '/public/%2e/admin',
    '/public/x%2ey',
    '/public/..%2fadmin',
    '/public/..%2Fadmin',
    '/public/%2e%2e%2fadmin',
    '/public%2f..%2fadmin',
    '/public%2Fadmin',
    '/%2fadmin',
    '/public/..%5cadmin',
    '/public/..%5Cadmin',
    '/public/%5c',
    '/public\\..\\admin',
    '/public/\\',
    '/public/%00',
    '/public/x%00.png',
    '/admin%00/../public/x',
    '//admin/x',
    '/public//admin',
    '/public/x//',
    '//evil/admin',
    '///admin',
    '//',
    '/\\evil/admin',
    '/public/%252e%252e/admin',
    '/public/%252e%252e%252fadmin',
    '/public/%25%32%65',
    '/public/%25%32%66',
    '/public/%255c',
    '/public/%2500',
    '/public/%c0%ae%c0%ae/admin',
    '/public/%c0%af',
    '/public/%e0%80%ae',
    '/public/%ed%a0%80',
    '/public/%ff',
    '/public/%',
    '/public/%1',
    '/public/%zz',
    '/public/%u002e%u002e/admin',
    '/public/%2',
    '/public/x#y',
    '/public/#/../admin',
    '/public/x?a#b',
    '/public/"',
    '/public/<x>',
    '/public/`',
    '/public/{x}',
    '/public/^',
    '',
    'public/x',
    '?x',
    'admin',
    '*',
    '.',
  ];
  test.each(paths)('%j', async path => {
    await rig.refuses(get(path), 'malformed_request');
    if (!path.includes('#')) await rig.refuses(get(`${path}?x=1`, rig.A), 'malformed_request');
  });
});

describe('a target that names a server is refused: nothing is ever asked of anyone but the upstream', () => {
  const targets = [
    'http://evil/admin',
    'http://evil/public/x',
    'http://a/public/x',
    'https://a/public/x',
    'HTTP://A/public/x',
    'http://169.254.169.254/latest/meta-data/',
    'http://127.0.0.1:1/',
    'http://u:p@a/public/x',
    'http:/public/x',
    'http:public/x',
    'ftp://a/public/x',
    'file:///etc/passwd',
    'gopher://a/_x',
    'a:80',
    'a',
    'evil.example/public/x',
  ];
  test.each(targets)('%s', async target => {
    await rig.refuses(get(target), 'malformed_request');
    await rig.refuses(get(target, rig.A), 'malformed_request');
    await rig.refuses(get(target, `${rig.A}Connection: Upgrade\r\nUpgrade: websocket\r\n`), 'malformed_request');
  });
});

describe('what is forwarded is forwarded byte for byte', () => {
  const targets = [
    '/public/x',
    '/public',
    '/public/',
    '/public/x/',
    '/public/%41%7e%20',
    '/public/%e2%82%ac',
    '/public/a.b..c/...',
    '/public/~a_-$!&()*+,=:@|[x]',
    '/public/x?',
    '/public/x??',
    '/public/x?a=b&&c==d&',
    '/public/x?%2e%2e/../..//\\;%00%252e',
    '/public/x?a=%c0%ae',
    '/public/x?"<>{}|^`[]',
    '/public/x?http://evil/',
    '/public/x?a=/admin/../..',
    '/public/http:/evil',
    '/public/@evil',
    '/public/:80',
  ];
  test.each(targets)('%s', async target => {
    expect((await rig.ask(get(target))).status).toBe(200);
    expect(rig.upstream.only.target).toBe(target);
    expect(rig.upstream.only.head.split('\r\n')[0]).toBe(`GET ${target} HTTP/1.1`);
  });
  test('a letter that is encoded is judged as the letter, and sent as it was', async () => {
    await rig.denies(get('/%61dmin/x', rig.A), 'insufficient_scope');
    await rig.denies(get('/%61%64%6D%69%6e/x'), 'missing_token');
    expect((await rig.ask(get('/%61pi/x', rig.A))).status).toBe(200);
    expect(rig.upstream.requests.at(-1)!.target).toBe('/%61pi/x');
  });
  test('case is part of a path', async () => {
    await rig.denies(get('/Admin/x', rig.A), 'no_route');
    await rig.denies(get('/PUBLIC/x'), 'no_route');
  });
  test('a prefix of a route is not the route', async () => {
    await rig.denies(get('/publicity/x'), 'no_route');
    await rig.denies(get('/apix'), 'no_route');
    await rig.denies(get('/'), 'no_route');
  });
});

describe('nobody is exempt', () => {
  test.each(['kube-probe/1.30', 'GoogleHC/1.0', 'ELB-HealthChecker/2.0', 'Envoy/HC', 'postern-healthcheck'])(
    'for its User-Agent %s',
    async agent => {
      await rig.denies(get('/admin/x', `User-Agent: ${agent}\r\n`), 'missing_token');
      await rig.denies(get('/', `User-Agent: ${agent}\r\n`), 'no_route');
    },
  );
  test.each(['/healthz', '/livez', '/readyz', '/metrics', '/drain', '/v1/tokens', '/v1/openapi.json', '/auth/nginx'])(
    'for asking %s, which is answered on ports of its own',
    async path => {
      for (const method of ['GET', 'POST', 'PUT', 'DELETE']) {
        await rig.denies(get(path, 'Content-Length: 0\r\n', method), 'no_route');
        await rig.denies(
          get(path, `Host: 127.0.0.1:${rig.postern.app.ports.admin}\r\n`, method).replace(H, ''),
          'no_route',
        );
      }
    },
  );
  test('for coming to a health path by a detour', async () => {
    await rig.refuses(get('/healthz/../admin/x'), 'malformed_request');
    await rig.refuses(get('/livez/..;/admin/x'), 'malformed_request');
  });
});

describe('whatever a client writes', () => {
  const pieces = [
    'public',
    'admin',
    'api',
    'x',
    '.',
    '..',
    '...',
    '',
    ' ',
    'a.b',
    '%2e',
    '%2E',
    '.%2e',
    '%2e%2e',
    '%252e',
    '%2f',
    '%2F',
    '%5c',
    '\\',
    ';',
    ';x',
    '..;',
    '%3b',
    '%00',
    '%20',
    '%e2%82%ac',
    '%c0%ae',
    '%',
    '%4',
    '%41',
    '%61dmin',
    '%25',
    '*',
    '@',
    ':',
    '~',
    'ADMIN',
  ];
  const separators = ['/', '/', '/', '/', '//', '\\', '%2f', '%5c', ';/', '/./', '/../', '/%2e%2e/', '?', '#'];

  test(`no request that is allowed is another one to any server behind (seed ${seed})`, async () => {
    const random = randomFrom(seed);
    const count = Number(process.env['POSTERN_TARGETS'] ?? 3000);
    const client = { current: await rig.open() };
    const allowed = new Set<string>();
    for (let i = 0; i < count; i++) {
      const start = pick(random, ['/public', '/api', '/admin', '/', '/public/', '']);
      // Mostly harmless pieces, or hardly any target would be allowed, and those are what this is about.
      const piece = (): string =>
        below(random, 3) === 0
          ? pick(random, separators) + pick(random, pieces)
          : `/${pick(random, ['x', 'a.b', '~', ':', 'api', 'admin', '%20', '%41'])}`;
      const target = start + several(random, 0, 4, piece).join('');
      const withToken = below(random, 2) === 1;
      rig.upstream.requests.length = 0;
      client.current.write(get(target, withToken ? rig.A : ''));
      const answer = await client.current.answer();
      if (answer.get('connection') === 'close') {
        client.current.destroy();
        client.current = await rig.open();
      }
      if (answer.status !== 200) {
        expect(rig.upstream.requests, target).toHaveLength(0);
        continue;
      }
      // Node takes spaces before the version for one.
      expect(rig.upstream.only.target, target).toBe(target.replace(/ +$/, ''));
      const path = target.replace(/ +$/, '').split('?')[0]!;
      if (allowed.has(path)) continue;
      allowed.add(path);
      const first = withToken ? ['public', 'api'] : ['public'];
      for (const [name, backend] of Object.entries(backends)) {
        const segments = backend(path);
        if (segments !== null) expect(first, `${target} is ${segments.join('/')} to ${name}`).toContain(segments[0]);
      }
    }
    expect(allowed.size).toBeGreaterThan(50);
  });
});
