import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openDatabase } from '../../../../src/stores/embedded/database.ts';
import { accessFault } from '../../../../src/stores/embedded/faults.ts';
import { temporaryFolder } from '../../../support/embedded.ts';

let parent: string;
let folder: string;
let file: string;
beforeEach(() => {
  parent = temporaryFolder();
  folder = join(parent, 'data');
  file = join(folder, 'postern.db');
});
afterEach(() => {
  chmodSync(parent, 0o700);
  rmSync(parent, { recursive: true });
});

/** What a process that may not do everything is told: root becomes somebody else once everything is imported. */
function told(): string {
  const database = new URL('../../../../src/stores/embedded/database.ts', import.meta.url);
  const script = `
    import { openDatabase } from ${JSON.stringify(database.href)};
    if (process.getuid() === 0) { process.setgid(65534); process.setuid(65534); }
    try { openDatabase(${JSON.stringify(folder)}, true).close(); } catch (error) { console.log(error.message); }`;
  return execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }).trim();
}

const me = process.getuid?.() ?? 0;
const other = me === 0 ? 65534 : me;
const belongs = (path: string, mode: string): string =>
  `${path} belongs to user ${me} with mode ${mode}, and this process runs as user ${other}: give it to that user (chown), or name another folder in store.path`;

test('a folder that may not be written to is named with its owner, its mode and the remedy', () => {
  mkdirSync(folder);
  chmodSync(parent, 0o755);
  chmodSync(folder, 0o555);
  expect(told()).toMatch(/^EACCES: permission denied, open /);
  expect(told().endsWith(`; ${belongs(folder, '0555')}`)).toBe(true);
});

test('so is the folder in which it cannot be made', () => {
  chmodSync(parent, 0o555);
  expect(told().endsWith(`; ${belongs(parent, '0555')}`)).toBe(true);
});

test('so is a file that is not ours to write', () => {
  openDatabase(folder, true).close();
  chmodSync(parent, 0o755);
  chmodSync(folder, 0o777);
  chmodSync(file, 0o400);
  expect(told()).toBe(`unable to open database file; ${belongs(file, '0400')}`);
});

test('a file in the way of the folder is told as one', () => {
  writeFileSync(folder, '');
  const remedy = 'is a file where a folder should be: remove it, or name another folder in store.path';
  expect(() => openDatabase(folder, true)).toThrow(`${folder} ${remedy}`);
  expect(() => openDatabase(join(folder, 'deeper', 'still'), true)).toThrow(`${folder} ${remedy}`);
});

test('nothing is made up where access is not what failed', () => {
  expect(accessFault(folder, file)).toBeNull();
  mkdirSync(file, { recursive: true });
  expect(accessFault(dirname(file), file)).toBeNull();
  expect(() => openDatabase(folder, true)).toThrow(/^unable to open database file$/);
});
