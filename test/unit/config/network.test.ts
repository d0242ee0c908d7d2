import { describe, expect, it } from 'vitest';
import {
  corsOriginFault,
  hostFault,
  networkFault,
  reaches,
  readEndpoint,
  readUpstream,
  sameEndpoint,
  upstreamFault,
} from '../../../src/config/network.ts';

const endpoint = (text: string) => readEndpoint(text)!;

describe('addresses of listeners', () => {
  it.each([
    [':8080', { host: null, port: 8080 }],
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
    ['[::1]:65535', { host: '::1', port: 65535 }],
    ['Localhost:80', { host: 'localhost', port: 80 }],
  ])('%s is read', (text, read) => {
    expect(readEndpoint(text)).toEqual(read);
  });

  it.each([
    '',
    '8080',
    ':',
    ':65536',
    '1.2.3:80',
    '1.2.3.400:80',
    '::1:80',
    '[::g]:80',
    '[1.2.3.4]:80',
    'a b:80',
    'http://x:80',
    ':80/x',
  ])('%s is none', text => {
    expect(readEndpoint(text)).toBeNull();
  });

  it.each([
    [':80', '127.0.0.1:80', true],
    ['0.0.0.0:80', '10.0.0.1:80', true],
    ['localhost:80', '127.0.0.1:80', true],
    ['localhost:80', '[::1]:80', true],
    ['127.0.0.1:80', '127.0.0.2:80', false],
    ['127.0.0.1:80', '127.0.0.1:81', false],
    [':0', ':0', false],
  ])('%s and %s cannot both be opened: %s', (a, b, same) => {
    expect(sameEndpoint(endpoint(a), endpoint(b))).toBe(same);
    expect(sameEndpoint(endpoint(b), endpoint(a))).toBe(same);
  });

  it.each([
    ['127.0.0.1', 8080, ':8080', true],
    ['localhost', 8080, '0.0.0.0:8080', true],
    ['::1', 8080, '[::]:8080', true],
    ['0.0.0.0', 8080, '127.0.0.1:8080', true],
    ['10.0.0.5', 8080, '10.0.0.5:8080', true],
    ['localhost.', 8080, ':8080', true],
    ['10.0.0.5', 8080, ':8080', false],
    ['127.0.0.1', 8080, '10.0.0.5:8080', false],
    ['127.0.0.1', 3000, ':8080', false],
    ['api.internal', 8080, ':8080', false],
  ])('connecting to %s port %s reaches a listener at %s: %s', (host, port, listener, reached) => {
    expect(reaches(host, port, endpoint(listener))).toBe(reached);
  });
});

describe('URLs of upstreams', () => {
  it.each([
    ['http://127.0.0.1:3000', { protocol: 'http', hostname: '127.0.0.1', port: 3000 }],
    ['HTTP://Api.Example.com/', { protocol: 'http', hostname: 'api.example.com', port: 80 }],
    ['http://[::ffff:127.0.0.1]:80', { protocol: 'http', hostname: '127.0.0.1', port: 80 }],
    ['https://[2001:db8::1]', { protocol: 'https', hostname: '2001:db8::1', port: 443 }],
  ])('%s is read', (text, address) => {
    expect(upstreamFault(text)).toBeNull();
    expect(readUpstream(text)).toEqual(address);
  });

  it.each([
    'http://a/b',
    'http://a//',
    'http://a/.',
    'http://a?',
    'http://a#',
    'http://@a',
    'http://u:p@a',
    'http://',
    'http:a',
    'http:/a',
    'http:///a',
    'http://a:0',
    'http://a:99999',
    'http://a b',
    'http://a\\b',
    'ws://a',
    'a:80',
    '//a',
    'http://a\n',
    'http://{a}',
    'http://a:b',
  ])('%j is refused', text => {
    expect(upstreamFault(text)).not.toBeNull();
  });
});

describe('hosts, networks and origins', () => {
  it.each(['example.com', 'EXAMPLE.com.', '*.example.com', 'my_service', '10.0.0.1', '[::1]'])('%s is a host', text => {
    expect(hostFault(text)).toBeNull();
  });

  it.each([
    '',
    '*',
    '*.',
    '*.*.com',
    'a.*',
    'a:80',
    '[::1]:80',
    '::1',
    'a/b',
    'a b',
    'a,b',
    '*.10.0.0.1',
    '[::1',
    'é.com',
  ])('%j is no host', text => {
    expect(hostFault(text)).not.toBeNull();
  });

  it.each(['10.0.0.0/8', '10.0.0.5/8', '::/0', 'fe80::1', '1.2.3.4', '2001:db8::/128'])('%s is a network', text => {
    expect(networkFault(text)).toBeNull();
  });

  it.each([
    '10.0.0.0/33',
    '::/129',
    '1.2.3',
    '1.2.3.4/',
    '1.2.3.4/a',
    '1.2.3.4/-1',
    '/8',
    'fe80::1%eth0',
    '::ffff:10.0.0.0/104',
    '1.2.3.4/8 ',
  ])('%j is no network', text => {
    expect(networkFault(text)).not.toBeNull();
  });

  it.each([
    '*',
    'https://a.example',
    'http://localhost:5173',
    'https://[::1]:8443',
    'chrome-extension://abcdef',
    'capacitor://localhost',
  ])('%s is an origin', text => {
    expect(corsOriginFault(text)).toBeNull();
  });

  it.each([
    'null',
    '',
    'a',
    'https://a.example/',
    'https://A.example',
    'http://a:80',
    'https://a:443',
    'https://a/b',
    'https://u@a',
    'https://*.a',
    'HTTPS://a',
  ])('%j is no origin as browsers send it', text => {
    expect(corsOriginFault(text)).not.toBeNull();
  });
});
