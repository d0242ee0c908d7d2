import { hash } from 'node:crypto';

/** Cursors of pages: opaque, and good for no other list and no other filters than those that they were made for. */

/** `scope`: what list it is, and how it is narrowed. */
export const makeCursor = (scope: string, position: string): string =>
  Buffer.from(`${position}.${seal(scope, position)}`, 'latin1').toString('base64url');

/** The position; null when the cursor is not one of this list. */
export function readCursor(scope: string, cursor: string): string | null {
  if (!/^[A-Za-z0-9_-]{1,100}$/.test(cursor)) return null;
  const [position = ''] = Buffer.from(cursor, 'base64url').toString('latin1').split('.');
  return makeCursor(scope, position) === cursor ? position : null;
}

/** Against mistakes, not against inventors: a position gives nobody more than its list would. */
const seal = (scope: string, position: string): string =>
  hash('sha256', `${scope}\0${position}`, 'base64url').slice(0, 16);
