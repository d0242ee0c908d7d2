import { codeOf } from '../core/decision.ts';
import type { RequestRecord } from '../ports/recorder.ts';
import type { RefusalWatch } from '../ports/refusal-watch.ts';
import { cut, hideTokens, visible } from './text.ts';

/** Longest texts of a client, in characters. */
const longest = 256;

/** Tells refusals to whoever watches them. While nobody does it costs one look. */
export class RefusalTeller {
  readonly #watch: RefusalWatch;

  constructor(watch: RefusalWatch) {
    this.#watch = watch;
  }

  record({ outcome, shadow, requestId, at, route, method, subject, client, ...record }: RequestRecord): void {
    if ((outcome !== 'refused' && outcome !== 'shadow') || !this.#watch.watched) return;
    const shadowed = outcome === 'shadow';
    const reason = shadowed ? (shadow ?? record.reason) : record.reason;
    const code = codeOf(reason);
    if (code === null) return;
    this.#watch.refused({
      requestId: shown(requestId),
      at,
      code,
      reason,
      shadow: shadowed,
      route: route === null ? null : shown(route.pattern),
      method: shown(method),
      tokenId: subject?.token.id ?? null,
      owner: subject?.token.owner ?? null,
      client: shown(client),
    });
  }
}

/** Clients choose methods, and proxies name clients. */
const shown = (text: string): string => visible(cut(hideTokens(text), longest));
