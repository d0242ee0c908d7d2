import { expect, test } from 'vitest';
import { Connections, connectionLimits, type Watched } from '../../../../src/apis/api-tokens/connections.ts';

const of = (account: string): Watched => ({ account, isMeant: () => false, check: async () => {}, tick: () => {} });

test('a mount has room for so many connections, and for fewer of one account', () => {
  const connections = new Connections(() => () => {});
  const open: Watched[] = [];
  const accounts = connectionLimits.all / connectionLimits.account;
  for (let i = 0; i < accounts; i++) {
    for (let n = 0; n < connectionLimits.account; n++) {
      expect(connections.noRoom(`a${i}`)).toBeNull();
      open.push(of(`a${i}`));
      connections.add(open.at(-1)!);
    }
    expect(connections.noRoom(`a${i}`)).toBe('Too many connections of this user');
  }
  expect(connections.noRoom('another')).toBe('Too many connections');
  connections.delete(open[0]!);
  connections.delete(open[0]!);
  connections.delete(of('a1'));
  expect(connections.noRoom('another')).toBeNull();
  expect(connections.noRoom('a0')).toBeNull();
  expect(connections.noRoom('a1')).toBe('Too many connections of this user');
  for (const each of open) connections.delete(each);
  expect(connections.noRoom('a1')).toBeNull();
});
