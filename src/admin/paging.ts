import * as z from 'zod';
import { Faults } from '../manage/faults.ts';
import { makeCursor, readCursor } from './cursor.ts';

/** The parameters of every list. */
export const pageQuery = {
  limit: z
    .string()
    .transform((text, context) => {
      const value = /^[1-9][0-9]{0,3}$/.test(text) ? Number(text) : 0;
      if (value >= 1 && value <= mostAtOnce) return value;
      context.issues.push({ code: 'custom', message: `is not a number from 1 to ${mostAtOnce}`, input: text });
      return z.NEVER;
    })
    .meta({ pattern: '^[1-9][0-9]{0,3}$', description: 'Most things on a page, from 1 to 1000. Default: 100.' }),
  cursor: z.string().meta({ description: 'What the page before answered as `next_cursor`, with the same filters.' }),
} as const;

const mostAtOnce = 1000;
export const usualLimit = 100;

interface PagedCall {
  readonly scope: string;
  readonly query: { readonly limit?: number; readonly cursor?: string };
}

/** The position at which the page begins, as `read` understands it; `start` without a cursor. */
export function positionOf<T>({ scope, query }: PagedCall, start: T, read: (position: string) => T | null): T {
  if (query.cursor === undefined) return start;
  const text = readCursor(scope, query.cursor);
  const position = text === null ? null : read(text);
  if (position !== null) return position;
  const faults = new Faults();
  faults.add('?cursor', 'is not a cursor of this list with these filters');
  faults.throwIfAny();
  return start;
}

export const nextCursor = ({ scope }: PagedCall, position: string | number | null): string | null =>
  position === null ? null : makeCursor(scope, String(position));

/** Where the store's own pages begin. */
export const readNumber = (position: string): number | null =>
  /^[0-9]{1,15}$/.test(position) ? Number(position) : null;
