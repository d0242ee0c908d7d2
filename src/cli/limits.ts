import type { Options, OptionTable } from './arguments.ts';
import { UsageError } from './command.ts';
import { plain, table } from './table.ts';

/** Limits of tokens and accounts on the command line. What may be said of one, the API judges. */

export const limitOptions = {
  limit: {
    type: 'string',
    value: 'NAME=MAX/PER',
    multiple: true,
    about:
      'How much may be used: daily=1000/1d, or pace=10/1s:bucket:20 for a bucket that holds 20; PER is lifetime, 1s, 1m, 1h, 1d or 1mo; again for more (default: no end)',
  },
} as const satisfies OptionTable;

export const limitUsage = '[--limit NAME=MAX/PER[:bucket[:BURST]]]…';

type Limit = Readonly<Record<string, unknown>>;

/** All of them; one empty text is an empty list. Undefined when nothing was said. */
export function limitsOf(options: Options): readonly Limit[] | undefined {
  const texts = options.list('limit');
  if (texts?.length === 1 && texts[0] === '') return [];
  return texts?.map(readLimit);
}

/** What is made is not made without an end because a variable of the shell is not set. */
export function demandLimit(options: Options): void {
  if (limitsOf(options)?.length === 0) throw new UsageError('--limit is empty: leave it out for no limit at all');
}

const form = /^([^=]+)=([0-9]{1,16})\/([^:]+)(?::([^:]+)(?::([0-9]{1,16}))?)?$/;

function readLimit(text: string): Limit {
  const match = form.exec(text);
  if (match === null)
    throw new UsageError(
      `--limit ${text}: write NAME=MAX/PER, or NAME=MAX/PER:bucket:BURST, in whole numbers, such as daily=1000/1d`,
    );
  const [, name, max, per, algorithm, burst] = match;
  return {
    name,
    max: Number(max),
    per,
    ...(algorithm === undefined ? {} : { algorithm }),
    ...(burst === undefined ? {} : { burst: Number(burst) }),
  };
}

/** As it would be said. */
function limitText({ name, max, per, algorithm, burst }: Limit): string {
  const bucket = algorithm === 'bucket' ? `:bucket${burst === undefined ? '' : `:${plain(burst)}`}` : '';
  return `${plain(name)}=${plain(max)}/${plain(per)}${bucket}`;
}

/** Of a token or account, in one line. */
export const limitsText = (limits: unknown): string =>
  Array.isArray(limits) ? limits.map(limit => limitText(limit as Limit)).join(', ') : '';

/** What is left of them. */
export const limitUseTable = (uses: readonly Limit[]): string =>
  table(
    ['limit', 'max', 'used', 'remaining', 'burned', 'resets at'],
    uses.map(use => [
      ...['name', 'max', 'used', 'remaining', 'burned'].map(member => plain(use[member])),
      plain(use['resets_at']) || '-',
    ]),
  );
