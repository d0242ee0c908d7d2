import { hash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type AdminKey, leftMs, type Role, scopeOf, suffices } from '../../../src/admin/keys.ts';

const key = (role: Role, expiresAt: number | null = null): AdminKey => ({
  name: 'k',
  role,
  sha256: hash('sha256', 'k', 'buffer'),
  expiresAt,
});
const reads = { role: 'read', ownerKeys: false } as const;
const readsTokens = { role: 'read', ownerKeys: true } as const;
const writes = { role: 'admin', ownerKeys: false } as const;
const writesTokens = { role: 'admin', ownerKeys: true } as const;

describe('a role', () => {
  test('opens what the operation says, and a key of an owner nothing that does not name it', () => {
    const opened = (role: Role) => [reads, readsTokens, writes, writesTokens].map(asked => suffices(role, asked));
    expect(opened('admin')).toEqual([true, true, true, true]);
    expect(opened('read')).toEqual([true, true, false, false]);
    expect(opened('owner:acme')).toEqual([false, true, false, true]);
  });

  test('holds a key of an owner to its account, whatever that is called', () => {
    expect(scopeOf('admin')).toBeNull();
    expect(scopeOf('read')).toBeNull();
    for (const account of ['acme', 'admin', 'read', 'owner', 'constructor']) {
      expect(scopeOf(`owner:${account}`)).toEqual({ account });
    }
  });
});

describe('a call under way', () => {
  test.each<[begun: Role, now: Role, goesOn: boolean]>([
    ['owner:acme', 'owner:acme', true],
    ['owner:acme', 'admin', true],
    ['owner:acme', 'read', false],
    ['owner:acme', 'owner:globex', false],
    ['owner:acme', 'owner:acme.', false],
    ['admin', 'owner:acme', false],
    ['read', 'owner:acme', false],
  ])('begun as %s goes on as %s: %s', (begun, now, goesOn) => {
    const left = leftMs(key(begun), writesTokens, [key(now)], 0);
    expect(left).toBe(goesOn ? Number.POSITIVE_INFINITY : 0);
  });

  test('ends with its key', () => {
    expect(leftMs(key('owner:acme'), writesTokens, [key('owner:acme', 5)], 3)).toBe(2);
    expect(leftMs(key('owner:acme'), writesTokens, [key('owner:acme', 5)], 6)).toBe(0);
  });
});
