import { StoreUnavailable } from '../errors.ts';
import { instantText } from '../manage/changes.ts';
import type { News, Watcher } from '../manage/watcher.ts';
import type { Cursor } from '../ports/change-feed.ts';

/** What a watcher is told, as server-sent events (WHATWG HTML, 9.2). */

/** Milliseconds after which something is said all the same, so that neither end takes the other for gone. */
const heartbeatMs = 15_000;

/** Milliseconds after which a client should come back whose stream has ended. */
const retryMs = 1000;

const eventId = /^([A-Za-z0-9]{1,64}):(0|[1-9][0-9]{0,14})$/;
const idOf = ({ epoch, seq }: Cursor): string => `${epoch}:${seq}`;

/** The position that an id of ours names; null for any other text. */
export function readEventId(text: string): Cursor | null {
  const [, epoch, seq] = eventId.exec(text) ?? [];
  return epoch === undefined ? null : { epoch, seq: Number(seq) };
}

/**
 * The stream, from what is there already. It ends when the watcher's call is over, when its key may not watch any longer,
 * and when the store has to be asked and does not answer: its client comes back, and misses nothing that has an id.
 */
export async function* eventStream(
  watcher: Watcher,
  first: readonly News[],
  keyLeftMs: () => number,
): AsyncGenerator<string> {
  yield `retry: ${retryMs}\n\n${first.map(textOf).join('')}${ownId(watcher.position)}`;
  for (;;) {
    const news = await watcher.next(Math.min(heartbeatMs, keyLeftMs())).catch(unlessUnavailable);
    if (news === null || keyLeftMs() === 0) return;
    yield news.length > 0 ? news.map(textOf).join('') : `:\n\n${ownId(watcher.position)}`;
  }
}

/** An id that is no event's: how far the client has come with all that it does not want to know. */
const ownId = (cursor: Cursor | null): string => (cursor === null ? '' : `${idLine(cursor)}\n`);

function unlessUnavailable(error: unknown): null {
  if (error instanceof StoreUnavailable) return null;
  throw error;
}

const idLine = (cursor: Cursor | null): string => (cursor === null ? '' : `id: ${idOf(cursor)}\n`);

const event = (name: string, data: object, cursor: Cursor | null = null): string =>
  `event: ${name}\n${idLine(cursor)}data: ${JSON.stringify(data)}\n\n`;

/** Several watchers are told the same refusal. */
const texts = new WeakMap<object, string>();

function textOf(news: News): string {
  switch (news.kind) {
    case 'change': {
      const { kind, id, version, at } = news.change;
      return event('change', { kind, id, version, at: instantText(at) }, news.cursor);
    }
    case 'refusal': {
      const known = texts.get(news.refusal);
      if (known !== undefined) return known;
      const { requestId, at, code, reason, shadow, route, method, tokenId, owner, client } = news.refusal;
      const text = event('refusal', {
        request_id: requestId,
        at: instantText(at),
        code,
        reason,
        shadow,
        route,
        method,
        token_id: tokenId,
        owner,
        client_ip: client,
      });
      texts.set(news.refusal, text);
      return text;
    }
    case 'limit': {
      const { subject, at, owner, limit, percent, max, used, ends } = news.passed;
      const resets_at = ends === null ? null : instantText(ends);
      return event('limit', { ...subject, at: instantText(at), owner, limit, percent, max, used, resets_at });
    }
    case 'gap':
      return event('gap', {}, news.cursor);
    case 'lost':
      return event('lost', { refusals: news.refusals, limits: news.limits });
  }
}
