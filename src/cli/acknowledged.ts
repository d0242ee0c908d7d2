import { plain } from './table.ts';

/**
 * Where a revocation holds, in plain words: `acknowledged` are processes that have applied it, `pending` those that
 * may not have.
 */
export function whereItHolds(body: Record<string, unknown>): readonly (readonly [string, string])[] {
  const { acknowledged, pending } = body as {
    acknowledged?: readonly string[];
    pending?: readonly { process: string; may_serve_until: string }[];
  };
  const count = acknowledged?.length ?? 0;
  const holds = count > 1 ? `on ${count} processes` : 'on the process that answered';
  const late = (pending ?? []).map(
    ({ process, may_serve_until }) =>
      ['not yet', `on ${plain(process)}, at ${plain(may_serve_until)} at the latest`] as const,
  );
  return [...(count === 0 ? [] : [['in force', holds] as const]), ...late];
}
