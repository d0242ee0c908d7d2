import type { OptionTable } from './arguments.ts';
import type { ApiAnswer } from './client.ts';
import type { Call } from './command.ts';
import { plain } from './table.ts';

/** Of commands that revoke something. */
export const waitOption: OptionTable = {
  wait: {
    type: 'string',
    value: 'DURATION',
    about: 'How long to wait until every process has applied it, up to 30s (default: not at all)',
  },
};

/** What is pending when the API answers so: the revocation is done, and not known to hold everywhere. */
const notEverywhere = 202;

/**
 * Where a revocation holds, in plain words: `acknowledged` are processes that have applied it, `pending` those that
 * may not have.
 */
export function whereItHolds({ status, body }: ApiAnswer): readonly (readonly [string, string])[] {
  const { acknowledged, pending = [] } = body as {
    acknowledged?: readonly string[];
    pending?: readonly { process: string; may_serve_until: string }[];
  };
  if (acknowledged === undefined) return [];
  const names = acknowledged.map(plain).join(', ');
  const holds =
    acknowledged.length > 1 ? `on ${acknowledged.length} processes: ${names}` : 'on the process that answered';
  const late = pending.map(
    ({ process, may_serve_until }) =>
      ['not yet', `on ${plain(process)}, at ${plain(may_serve_until)} at the latest`] as const,
  );
  const unknown = status === notEverywhere && pending.length === 0;
  return [
    ...(acknowledged.length > 0 ? [['in force', holds] as const] : []),
    ...late,
    ...(unknown ? [['not known', 'on other processes: the store did not say which there are'] as const] : []),
  ];
}

/** The same for those who read only that the command has succeeded, or only the JSON. */
export function noteWhatIsPending({ status }: ApiAnswer, { io }: Pick<Call, 'io'>): void {
  if (status === notEverywhere) io.err('note: it is done, and not in force on every process yet');
}
