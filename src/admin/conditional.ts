import { type Fields, lowerNames } from '../core/fields.ts';
import type { Precondition } from '../manage/precondition.ts';
import { Rejection } from './answer.ts';

/** Conditional requests (RFC 9110 13). A thing's entity tag is its version. */

export const entityTag = (version: number): string => `"${version}"`;

/** `*`, or entity tags; weak ones only where they count. */
interface TagList {
  readonly any: boolean;
  readonly strong: ReadonlySet<string>;
  readonly all: ReadonlySet<string>;
}

/** The condition of a change by If-Match and If-None-Match; null when there is none. */
export function readPrecondition(fields: Fields): Precondition | null {
  const match = readTags(fields, 'if-match');
  const noneMatch = readTags(fields, 'if-none-match');
  if (match === null && noneMatch === null) return null;
  return version =>
    (match === null || (version !== null && (match.any || match.strong.has(entityTag(version))))) &&
    (noneMatch === null || version === null || !(noneMatch.any || noneMatch.all.has(entityTag(version))));
}

/** Whether the client has this version already, by If-None-Match. */
export function isKnown(fields: Fields, version: number): boolean {
  const tags = readTags(fields, 'if-none-match');
  return tags !== null && (tags.any || tags.all.has(entityTag(version)));
}

const tagList = /^(?:W\/)?"[!#-~\x80-\xff]*"(?:[ \t]*,[ \t]*(?:W\/)?"[!#-~\x80-\xff]*")*$/;

function readTags(fields: Fields, name: string): TagList | null {
  const names = lowerNames(fields);
  const values = names.flatMap((other, i) => (other === name ? fields[2 * i + 1]!.trim() : []));
  if (values.length === 0) return null;
  const text = values.join(', ');
  if (text === '*') return { any: true, strong: new Set(), all: new Set() };
  if (!tagList.test(text)) throw new Rejection('malformed_request', 'A condition is no list of entity tags.');
  const tags = text.match(/(?:W\/)?"[^"]*"/g) ?? [];
  return {
    any: false,
    strong: new Set(tags.filter(tag => !tag.startsWith('W/'))),
    all: new Set(tags.map(tag => tag.replace(/^W\//, ''))),
  };
}
