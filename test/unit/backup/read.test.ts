import { describe, expect, test } from 'vitest';
import { backupText, headingOf } from '../../../src/backup/format.ts';
import { BackupUnreadable } from '../../../src/backup/lines.ts';
import { readBackup } from '../../../src/backup/read.ts';
import type { StoreRecord } from '../../../src/ports/store-transfer.ts';
import { anAccount, anAudit, aRole, aToken, made } from '../../contract/harness.ts';
import { listOf } from '../../support/transfer.ts';

/** What is read from a backup of these records, whatever they are. */
async function read(records: readonly unknown[], version = 2): Promise<readonly StoreRecord[]> {
  async function* pages() {
    yield records as readonly StoreRecord[];
  }
  const heading = { ...headingOf('identity', made), version };
  const text = (await listOf(backupText(heading, pages()))).join('');
  async function* bytes() {
    yield Buffer.from(text);
  }
  return (await listOf(readBackup(bytes()))).flat();
}

const grants = [{ resources: ['a/*'], actions: { b: true, 'c.*': false } }];
const event = { id: 1, ...anAudit('create') };

describe('a backup', () => {
  test('is read as it was written: roles with their places, events of roles and of their order', async () => {
    const records: readonly StoreRecord[] = [
      { kind: 'role', role: aRole('ops', { permissions: grants }), place: 3 },
      { kind: 'role', role: aRole('gone', { deleted: true }), place: null },
      { kind: 'account', account: anAccount('acme', { roles: ['ops'], permissions: grants, owns: ['a/*'] }) },
      {
        kind: 'token',
        token: aToken('t', {
          sealed: 'v1.x',
          mode: 'shadow',
          permissions: 'inherit',
          constraints: { methods: ['GET'] },
        }),
      },
      { kind: 'event', of: 'role', subject: 'order', event },
    ];
    expect(await read(records)).toEqual(records);
  });

  test('of an earlier version reads as if it had what came later', async () => {
    const whole = aToken('t', { permissions: { a: true } });
    const { mode: _, constraints: __, sealed: ______, limits: _______, ...token } = whole;
    const { roles: ___, permissions: ____, owns: _____, limits: ________, ...account } = anAccount('acme');
    const records = [
      { kind: 'account', account },
      { kind: 'token', token },
    ];
    expect(await read(records, 1)).toEqual([
      { kind: 'account', account: anAccount('acme') },
      { kind: 'token', token: aToken('t', { permissions: { a: true } }) },
    ]);
  });

  test.each([
    ['a role without a place', { kind: 'role', role: aRole('ops'), place: null }],
    ['a tombstone with a place', { kind: 'role', role: aRole('ops', { deleted: true }), place: 1 }],
    ['a place that is none', { kind: 'role', role: aRole('ops'), place: 0.5 }],
    ['a role with more members', { kind: 'role', role: { ...aRole('ops'), more: 1 }, place: 1 }],
    ['a role whose id is none', { kind: 'role', role: aRole('o ps'), place: 1 }],
    ['an account with a role whose id is none', { kind: 'account', account: anAccount('acme', { roles: ['a\nb'] }) }],
  ])('is refused with %s', async (_, record) => {
    await expect(read([record])).rejects.toThrow(BackupUnreadable);
  });
});
