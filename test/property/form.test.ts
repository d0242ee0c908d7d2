import { isIP } from 'node:net';
import { expect, test } from 'vitest';
import { addressOf, networkOf } from '../../src/core/address.ts';
import { readForm, readHost } from '../../src/core/form.ts';
import { below, pick, randomFrom, seed, several } from '../support/random.ts';

test(`reading a head never throws, and what is taken has one meaning (seed ${seed})`, () => {
  const random = randomFrom(seed);
  const lines = [
    ...['Host: a', 'host: b', 'Host: a:80', 'Host: a b', 'Content-Length: 5', 'content-length: 0', 'Content-Length: x'],
    ...['Transfer-Encoding: chunked', 'transfer-encoding: gzip', 'Connection: upgrade', 'Connection: close, Upgrade'],
    ...['Upgrade: websocket', 'Upgrade: h2c', 'Expect: 100-continue', 'Expect: x', 'Origin: null', 'X: y'],
  ];
  const count = (form: readonly string[], name: string): number => form.filter(known => known === name).length;
  let taken = 0;
  for (let i = 0; i < 30_000; i++) {
    const fields = several(random, 0, 5, () => pick(random, lines).split(': ')).flat();
    const method = pick(random, ['GET', 'POST', 'OPTIONS', 'CONNECT', 'PRI', '', 'get']);
    const version = pick(random, ['1.1', '1.1', '1.1', '1.0', '2.0', '']);
    const target = pick(random, ['/', '/a?b', '*', 'a:80', '', '/%']);
    const reading = readForm({
      method,
      version,
      target,
      fields: ['Host', 'a', ...fields].slice(random() < 0.9 ? 0 : 2),
    });
    if (!reading.ok) {
      expect(reading.fault.why).not.toBe('');
      continue;
    }
    taken++;
    const { form } = reading;
    const about = `${method} ${target} ${version} ${fields}`;
    const lengths = count(form.names, 'content-length');
    const encodings = count(form.names, 'transfer-encoding');
    const faults = [
      count(form.names, 'host') > 1 || (form.version === '1.1' && form.authority === null),
      lengths + encodings > 1,
      form.framing.kind === 'chunked' ? encodings !== 1 || form.version === '1.0' : encodings > 0,
      form.framing.kind === 'length' && lengths !== 1,
      count(form.names, 'origin') > 1,
      form.websocket && (form.method !== 'GET' || form.version !== '1.1' || form.framing.kind === 'chunked'),
      form.expectsContinue && (form.framing.kind === 'none' || form.version !== '1.1'),
      form.target.segments.length === 0 && form.method !== 'CONNECT' && form.method !== 'OPTIONS',
    ];
    if (faults.includes(true)) expect.fail(`${about}: ${faults}`);
  }
  expect(taken).toBeGreaterThan(1000);
});

test(`a host is lower case, without port or blank, and reads the same again (seed ${seed})`, () => {
  const random = randomFrom(seed + 1);
  const bits = ['a', 'B', '.', '-', '_', ':', '80', '[', ']', '::1', '@', ',', ' ', '%', '/', 'é', '1.2.3.4', '65536'];
  let read = 0;
  for (let i = 0; i < 30_000; i++) {
    const authority = several(random, 0, 6, () => pick(random, bits)).join('');
    const host = readHost(authority);
    if (host === null) continue;
    read++;
    if (!/^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])$/.test(host)) expect.fail(`${authority} is ${host}`);
    if (readHost(host) !== host) expect.fail(`${authority} is ${host}`);
    if (!authority.toLowerCase().startsWith(host)) expect.fail(`${authority} is ${host}`);
  }
  expect(read).toBeGreaterThan(500);
});

/** Text of an address, in one of its many spellings. */
function anyAddress(random: () => number): string {
  const four = (): string => several(random, 4, 4, () => below(random, 256)).join('.');
  if (random() < 0.3) return four();
  const groups = several(random, 8, 8, () => {
    const text = (random() < 0.5 ? 0 : below(random, 65_536)).toString(16);
    return random() < 0.3 ? text.padStart(4, '0') : random() < 0.3 ? text.toUpperCase() : text;
  });
  if (random() < 0.3) groups.splice(6, 2, four());
  const start = below(random, groups.length);
  const length = 1 + below(random, groups.length - start);
  const zeros = groups.slice(start, start + length).every(group => /^0+$/.test(group));
  if (!zeros) return groups.join(':');
  return `${groups.slice(0, start).join(':')}::${groups.slice(start + length).join(':')}`;
}

/** The same address in the runtime's own spelling. */
const canonical = (address: string): string =>
  isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;

test(`an address is read as the runtime reads it, mapped ones as what they map (seed ${seed})`, () => {
  const random = randomFrom(seed + 2);
  for (let i = 0; i < 10_000; i++) {
    const address = anyAddress(random);
    const read = addressOf(random() < 0.5 ? address : isIP(address) === 6 ? `"[${address}]:80"` : `${address}:80`);
    const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(canonical(address));
    if (mapped === null) {
      if (read !== address) expect.fail(`${address} is read as ${read}`);
      continue;
    }
    const bytes = [mapped[1]!, mapped[2]!].flatMap(group => [
      Number.parseInt(group, 16) >> 8,
      Number.parseInt(group, 16) & 255,
    ]);
    if (read !== bytes.join('.')) expect.fail(`${address} is read as ${read}`);
  }
});

test(`what is no address to the runtime is none here (seed ${seed})`, () => {
  const random = randomFrom(seed + 3);
  const bits = ['1', '25', '256', '0', '.', ':', '::', 'ffff', '[', ']', '"', '%', 'g', ' ', '-', '12345'];
  let read = 0;
  for (let i = 0; i < 50_000; i++) {
    const node = several(random, 1, 8, () => pick(random, bits)).join('');
    const address = addressOf(node);
    if (address === null) {
      if (isIP(node) !== 0 && !node.includes('%')) expect.fail(`${node} is an address`);
      continue;
    }
    read++;
    if (isIP(address) === 0) expect.fail(`${node} is read as ${address}`);
  }
  expect(read).toBeGreaterThan(100);
});

test(`spellings of one address are one network, and a network is its first 64 bits (seed ${seed})`, () => {
  const random = randomFrom(seed + 4);
  for (let i = 0; i < 10_000; i++) {
    const address = anyAddress(random);
    const network = networkOf(address);
    if (network !== networkOf(canonical(address))) expect.fail(`${address} is in ${network}`);
    if (isIP(address) === 4) continue;
    const prefix = network.replace('::/64', '');
    if (networkOf(`${prefix}:1:2:3:4`) !== network) expect.fail(`${address} is in ${network}`);
    const next = prefix.split(':').map(group => Number.parseInt(group, 16));
    next[below(random, 4)]! ^= 1;
    const other = next.map(group => group.toString(16)).join(':');
    if (networkOf(`${other}::1`) === network && other !== prefix) expect.fail(`${other} is in ${network}`);
  }
});
