import { describe, expect, test } from 'vitest';
import type { TokenApi } from '../../../src/config/config.ts';
import { claimedFormBytes, Mounts } from '../../../src/core/mounts.ts';
import { aForm } from '../../support/request.ts';
import { StubMount } from '../../support/stub-mount.ts';

const stub = (api: TokenApi['api'], path: string): StubMount =>
  new StubMount({ api, path, listen: 'proxy', envelope: 'result', recoverableKey: null });

const keys = stub('access-keys', '/api');
const rpc = stub('api-tokens', '/rpc');
const legacy = stub('access-api', '/legacy');
const mounts = new Mounts([keys, rpc, legacy]);
const claim = (target: string, method = 'POST') => mounts.claim(aForm(target, [], { method }));

const urlencoded = (...framing: string[]) =>
  mounts.claim(aForm('/legacy', ['Content-Type', 'application/x-www-form-urlencoded', ...framing], { method: 'POST' }));

describe('mounts', () => {
  test.each([
    ['/api/auth/access-keys', keys],
    ['/%61pi/auth/access%2Dkeys', keys],
    ['/rpc/v1/api-tokens/create', rpc],
    ['/legacy?cmd=access.add', legacy],
  ])('%s is of the mount whose path it is, decoded once', (target, mount) => {
    expect(claim(target)).toMatchObject({ kind: 'mount', mount });
  });

  test.each([
    '/',
    '/API/auth/access-keys',
    '/api/auth/access-keys/',
    '/api/auth',
    '/x/api/auth/access-keys',
    '/legacy?cmd=db.get',
    '/legacy/?cmd=access.add',
    '/rpc',
  ])('%s is nobody’s', target => {
    expect(claim(target)).toEqual({ kind: 'nobody' });
  });

  test.each(['CONNECT', 'TRACE'])('%s is nobody’s', method => {
    const target = method === 'CONNECT' ? 'a:80' : '/api/auth/access-keys';
    expect(mounts.claim(aForm(target, [], { method }))).toEqual({ kind: 'nobody' });
  });

  test('OPTIONS * is nobody’s', () => {
    expect(new Mounts([stub('access-api', '')]).claim(aForm('*', [], { method: 'OPTIONS' }))).toEqual({
      kind: 'nobody',
    });
  });

  test.each([
    '/api//auth/access-keys',
    '//api/auth/access-keys',
    '/api/auth//access-keys',
    '/api/auth/access-keys//',
    '/api/auth%2Faccess-keys',
    '/api/auth/access-keys;x=1',
    '/api;x/auth/access-keys',
    '/api/auth/access-keys%3bx',
    '/api/auth/access%252Dkeys',
    '/%2561pi/auth/access-keys',
    '//rpc/v1/api-tokens/create',
    '/rpc/v1//api-tokens/create',
    '/rpc///v1/api-tokens/create',
    '/rpc//v1//api-tokens/create',
    '/rpc//v1/api-tokens%2Fcreate',
    '/rpc//v1/api-tokens/create;x',
    '/legacy//?cmd=access.add',
  ])('%s is refused: servers differ in whether it is a path of a mount', target => {
    expect(claim(target).kind).toBe('ambiguous');
  });

  test('what is odd, but no mount’s in any reading, is left to the routes', () => {
    for (const target of ['/a//b', '/files/a%2Fb', '/x;y', '/api//auth', '/100%25']) {
      expect(claim(target), target).toEqual({ kind: 'nobody' });
    }
  });

  test.each([
    ['/rpc//v1/api-tokens/create?x=1', '/rpc/v1/api-tokens/create?x=1', rpc],
    ['/%72pc//v1/api-tokens/create', '/%72pc/v1/api-tokens/create', rpc],
  ])('one doubled slash directly after api-tokens is its own: %s', (target, seen, mount) => {
    const form = aForm(target, [], { method: 'POST' });
    expect(mounts.claim(form)).toMatchObject({
      kind: 'mount',
      mount,
      form: { target: { raw: seen, needs: [], segments: ['rpc', 'v1', 'api-tokens', 'create'] } },
    });
    expect(form.target.raw).toBe(target);
  });

  test('one doubled slash after api-tokens at the root, too', () => {
    const root = new Mounts([stub('api-tokens', '')]);
    expect(root.claim(aForm('//v1/api-tokens/read'))).toMatchObject({
      kind: 'mount',
      form: { target: { raw: '/v1/api-tokens/read' } },
    });
    expect(root.claim(aForm('///v1/api-tokens/read')).kind).toBe('ambiguous');
  });

  test('a body tells up to its bound; a larger one, or none, is nobody’s', () => {
    expect(urlencoded('Content-Length', String(claimedFormBytes))).toEqual({ kind: 'body', mounts: [legacy] });
    expect(urlencoded('Transfer-Encoding', 'chunked')).toEqual({ kind: 'body', mounts: [legacy] });
    expect(urlencoded('Content-Length', String(claimedFormBytes + 1))).toEqual({ kind: 'nobody' });
    expect(urlencoded('Content-Length', '0')).toEqual({ kind: 'nobody' });
    expect(urlencoded()).toEqual({ kind: 'nobody' });
  });

  test('without any, nothing is asked', () => {
    expect(new Mounts([]).claim(aForm('/api//auth/access-keys'))).toEqual({ kind: 'nobody' });
  });
});
