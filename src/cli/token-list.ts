import { AdminClient } from './client.ts';
import { type Command, UsageError } from './command.ts';
import { clientOptions, clientUsage } from './target.ts';
import { show } from './token-parts.ts';
import { tokenTable } from './token-text.ts';

const filters = ['owner', 'state', 'kind', 'tag', 'prefix', 'expires-before'] as const;

export const listTokens: Command = {
  summary: 'List tokens; revoked ones only when asked for with --state revoked',
  usage: `[--owner ACCOUNT] [--state enabled|disabled|revoked] [--kind KIND] [--tag TEXT] [--prefix TEXT] [--expires-before TIME] [--limit N] ${clientUsage}`,
  options: {
    owner: { type: 'string', value: 'ACCOUNT', about: 'Only of this account' },
    state: {
      type: 'string',
      value: 'STATE',
      about: 'Only enabled, disabled or revoked ones (default: all but revoked)',
    },
    kind: {
      type: 'string',
      value: 'KIND',
      about:
        'Only of this kind: native, access-api, access-keys, api-tokens, session, declared (default: all but session)',
    },
    tag: { type: 'string', value: 'TEXT', about: 'Only with this tag' },
    prefix: { type: 'string', value: 'TEXT', about: 'Only with a name that begins so' },
    'expires-before': { type: 'string', value: 'TIME', about: 'Only those that stop working before, in RFC 3339' },
    limit: { type: 'string', value: 'N', about: 'At most so many (default: all)' },
    ...clientOptions,
  },
  async run(call) {
    const { options, io } = call;
    const most = wholeNumber(options.text('limit'));
    const query = new URLSearchParams();
    for (const name of filters) {
      const value = options.text(name);
      if (value !== undefined) query.set(name.replace('-', '_'), value);
    }
    const { items, next } = await (await AdminClient.of(call)).list('/v1/tokens', 'tokens', query, most);
    show(call, { tokens: items, next_cursor: next }, () => tokenTable(items));
    if (next !== null)
      io.err(`note: these are the first ${items.length}, and there are more; without --limit all are listed`);
    return 0;
  },
};

function wholeNumber(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new UsageError(`--limit ${text} is no number from 1`);
  return Number(text);
}
