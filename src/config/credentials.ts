import type { Place } from '../core/credential.ts';
import type { Context } from './context.ts';
import type { File } from './schema.ts';
import { itemKey } from './tree.ts';
import type { Draft } from './walk.ts';

type CredentialDraft = Draft<File['credentials'][number]>;

const kinds = ['header', 'query', 'cookie', 'form', 'websocket_protocol'] as const;

/** `credentials`: each names one place, and no place stands twice. */
export function readCredentials(
  drafts: Draft<File['credentials']>,
  identityPrefix: string | undefined,
  { problems }: Context,
): readonly Place[] {
  const places: Place[] = [];
  const seen = new Map<string, string>();
  for (const [i, draft = {}] of drafts.entries()) {
    const key = itemKey('credentials', i);
    const named = kinds.filter(kind => draft[kind] !== undefined);
    if (named.length !== 1) {
      // What is named wrongly, or names a place that is not built, has its problem already.
      if (named.length > 1 || !problems.touch(key)) {
        const what = named.length > 1 ? `names ${named.join(' and ')}` : 'names no place';
        problems.add(key, `${what}; allowed: one of ${kinds.join(', ')}`);
      }
      continue;
    }
    if (draft.scheme !== undefined && draft.header === undefined) {
      problems.add(`${key}.scheme`, 'stands without header; allowed: with header');
    }
    const place = placeOf(draft);
    if (place === null) continue;
    if (
      place.kind === 'header' &&
      identityPrefix !== undefined &&
      place.name.startsWith(identityPrefix.toLowerCase())
    ) {
      const message = `begins with ${identityPrefix}: such fields are cut from every request; allowed: another field`;
      problems.add(`${key}.header`, message);
    }
    const spot = identityOf(place);
    const first = seen.get(spot);
    if (first !== undefined) {
      const what = place.kind === 'websocket_protocol' ? 'is a second websocket_protocol' : 'is the same place';
      problems.add(key, `${what}, after ${first} (${problems.lineOf(first)}); allowed: once`);
    } else seen.set(spot, key);
    places.push(place);
  }
  return places;
}

function placeOf(draft: CredentialDraft): Place | null {
  const { header, scheme, query, cookie, form, websocket_protocol } = draft;
  if (header !== undefined) return { kind: 'header', name: header.toLowerCase(), scheme: scheme ?? null };
  if (query !== undefined) return { kind: 'query', name: query };
  if (cookie !== undefined) return { kind: 'cookie', name: cookie };
  if (form !== undefined) return { kind: 'form', name: form };
  return websocket_protocol === undefined ? null : { kind: 'websocket_protocol', prefix: websocket_protocol };
}

/** Two places with the same one cannot be told apart in a request. */
function identityOf(place: Place): string {
  switch (place.kind) {
    case 'header':
      return `header ${place.name.replace(/[_.]/g, '-')} ${place.scheme?.toLowerCase() ?? ''}`;
    case 'websocket_protocol':
      return place.kind;
    default:
      return `${place.kind} ${place.name}`;
  }
}
