import type { Config } from './config.ts';
import type { Context } from './context.ts';
import type { File } from './schema.ts';
import type { Draft } from './walk.ts';

/** `outage`. */
export function readOutage(
  draft: Draft<File['outage']>,
  boundMs: number | undefined,
  peppers: number,
  { problems, files }: Context,
): Config['outage'] {
  const { serve_cached_for: serveCachedMs = 0, snapshot, limits = 'closed' } = draft;
  if (limits === 'open') {
    const why = 'is open: while the store does not answer more may pass than limits allow';
    problems.warn('outage.limits', `${why}, which is counted and booked when it is back`);
  }
  const { path, interval: intervalMs } = snapshot ?? {};
  if (path === undefined || intervalMs === undefined) return { serveCachedMs, snapshot: null, limits };
  if (peppers === 0 && !problems.touch('tokens.peppers')) {
    const why = 'is sealed with a pepper, and there is none';
    problems.add('outage.snapshot', `${why}; allowed: with at least one of tokens.peppers`);
  }
  const cutOffMs = Math.max(serveCachedMs, boundMs ?? 0);
  if (cutOffMs <= intervalMs) {
    const age = `is written every ${intervalMs} ms, and may be used for ${cutOffMs} ms`;
    problems.warn('outage.snapshot', `${age}: most starts would find it too old; raise outage.serve_cached_for`);
  }
  return { serveCachedMs, snapshot: { folder: files.resolve(path), intervalMs }, limits };
}

/**
 * Milliseconds after which no change is ignored any more, wherever it was made: by a process that hears from the store,
 * and by one that is cut off from it.
 */
export function boundsOf({ revocation, outage }: Pick<Config, 'revocation' | 'outage'>): {
  readonly connectedMs: number;
  readonly cutOffMs: number;
} {
  const { boundMs } = revocation;
  return { connectedMs: boundMs, cutOffMs: Math.max(boundMs, outage.serveCachedMs) };
}
