import { expect, test } from 'vitest';
import { addressOf, forwardedNode, networkOf } from '../../../src/core/address.ts';

test.each([
  ['1.2.3.4', '1.2.3.4'],
  ['1.2.3.4:80', '1.2.3.4'],
  [' 1.2.3.4 ', '1.2.3.4'],
  ['"1.2.3.4:80"', '1.2.3.4'],
  ['0.0.0.0', '0.0.0.0'],
  ['255.255.255.255', '255.255.255.255'],
  ['::1', '::1'],
  ['[::1]', '::1'],
  ['[::1]:80', '::1'],
  ['"[2001:db8::1]:4711"', '2001:db8::1'],
  ['::', '::'],
  ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
  ['1::8', '1::8'],
  ['2001:DB8::1', '2001:DB8::1'],
  ['64:ff9b::1.2.3.4', '64:ff9b::1.2.3.4'],
  // The same client, however its address is mapped.
  ['::ffff:1.2.3.4', '1.2.3.4'],
  ['::FFFF:1.2.3.4', '1.2.3.4'],
  ['[::ffff:1.2.3.4]:80', '1.2.3.4'],
  ['::ffff:102:304', '1.2.3.4'],
  ['0:0:0:0:0:ffff:0102:0304', '1.2.3.4'],
  ['0::ffff:1.2.3.4', '1.2.3.4'],
])('%j is the address %s', (node, address) => {
  expect(addressOf(node)).toBe(address);
});

test.each([
  '',
  ' ',
  '""',
  '"',
  'unknown',
  '_hidden',
  'a',
  '1.2.3',
  '1.2.3.4.5',
  '1.2.3.256',
  '1.2.3.4:',
  '1.2.3.4:123456',
  '1.2.3.4:80:80',
  '1.2.3.4, 5.6.7.8',
  '-1.2.3.4',
  '1.2.3.4/8',
  '0x1.2.3.4',
  '1e1.2.3.4',
  // Ten, or eight? Readers differ.
  '010.2.3.4',
  '1.2.3.04',
  '::ffff:01.2.3.4',
  ':',
  ':::',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1::2::3',
  '1:2:3:4:5:6:7::8',
  '12345::',
  'g::',
  '::1%eth0',
  '[::1',
  '::1]',
  '[::1]x',
  '[::1]:',
  '[::1]:123456',
  '[1.2.3.4]',
  '::1.2.3.256',
  '::1.2.3',
  '1.2.3.4::',
])('%j is no address', node => {
  expect(addressOf(node)).toBeNull();
});

test.each([
  ['1.2.3.4', '1.2.3.4'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:1:2:ffff::', '2001:db8:1:2::/64'],
  ['2001:0db8:0001:0002::1', '2001:db8:1:2::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['', ''],
  ['not:an:address', 'not:an:address'],
])('%j is in the network %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});

test('two addresses of one /64 are one network, the next is another', () => {
  expect(networkOf('2001:db8::1')).toBe(networkOf('2001:db8:0:0:ffff:ffff:ffff:ffff'));
  expect(networkOf('2001:db8::1')).not.toBe(networkOf('2001:db8:0:1::1'));
});

test('a node of Forwarded quotes what has colons', () => {
  expect(forwardedNode('1.2.3.4')).toBe('1.2.3.4');
  expect(forwardedNode('2001:db8::1')).toBe('"[2001:db8::1]"');
});
