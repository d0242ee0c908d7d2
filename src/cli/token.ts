import { noteWhatIsPending, waitOption, whereItHolds } from './acknowledged.ts';
import { AdminClient } from './client.ts';
import { type Command, type Group, UsageError } from './command.ts';
import { demandLimit } from './limits.ts';
import { patchReplacing } from './permissions.ts';
import { plain, rows } from './table.ts';
import { clientOptions, clientUsage } from './target.ts';
import { importToken } from './token-import.ts';
import { listTokens } from './token-list.ts';
import { inputFor, memberOptions, members, memberUsage } from './token-members.ts';
import { show, tokenPath } from './token-parts.ts';
import { describe, eventTable, type Token, usageText, withSecret } from './token-text.ts';

const create: Command = {
  summary: 'Make a token, and print its secret once',
  usage: `${memberUsage} [--idempotency-key TEXT] ${clientUsage}`,
  options: {
    ...memberOptions,
    'idempotency-key': {
      type: 'string',
      value: 'TEXT',
      about: 'Asked again with the same within 24 h, the same token is the answer (default: another token)',
    },
    ...clientOptions,
  },
  async run(call) {
    const key = call.options.text('idempotency-key');
    const headers: Record<string, string> = key === undefined ? {} : { 'Idempotency-Key': key };
    demandLimit(call.options);
    const wanted = members(call.options, await inputFor(call));
    const { body } = await (await AdminClient.of(call)).call('POST', '/v1/tokens', wanted, headers);
    return show(call, body, () => withSecret(body));
  },
};

const update: Command = {
  summary:
    'Change members of a token; permissions and limits replace all that it had, --constraints is merged into them, an empty --owner, --limit, --not-before or --expires-at clears it',
  usage: `ID ${memberUsage} ${clientUsage}`,
  args: ['ID'],
  options: { ...memberOptions, ...clientOptions },
  async run(call) {
    const patch = members(call.options, await inputFor(call));
    if (Object.keys(patch).length === 0) throw new UsageError('nothing to change: name a member');
    const { body } = await patchReplacing(await AdminClient.of(call), tokenPath(call), patch);
    return show(call, body, () => describe(body));
  },
};

const rotate: Command = {
  summary: 'Give a token a new secret; the old one lives on for --grace',
  usage: `ID [--grace DURATION] ${clientUsage}`,
  args: ['ID'],
  options: {
    grace: { type: 'string', value: 'DURATION', about: 'How long the old secret still works, up to 30d (default: 0s)' },
    ...clientOptions,
  },
  async run(call) {
    const grace = call.options.text('grace');
    const wanted = grace === undefined ? undefined : { grace };
    const { body } = await (await AdminClient.of(call)).call('POST', `${tokenPath(call)}/rotate`, wanted);
    return show(call, body, () => withSecret(body));
  },
};

/** A command that asks about one token, or changes it, and says nothing more than which. */
const single = (summary: string, method: string, path = ''): Command => ({
  summary,
  usage: `ID ${clientUsage}`,
  args: ['ID'],
  options: clientOptions,
  async run(call) {
    const { body } = await (await AdminClient.of(call)).call(method, `${tokenPath(call)}${path}`);
    return show(call, body, () => describe(body));
  },
});

const revoke: Command = {
  summary: 'Revoke a token for good, or with --owner every token of an account',
  usage: `(ID | --owner ACCOUNT) [--wait DURATION] ${clientUsage}`,
  args: ['ID?'],
  options: {
    owner: { type: 'string', value: 'ACCOUNT', about: 'Revoke every token of this account instead of one' },
    ...waitOption,
    ...clientOptions,
  },
  async run(call) {
    const { options, args } = call;
    const owner = options.text('owner');
    if ((owner === undefined) === (args[0] === undefined))
      throw new UsageError('name a token, or an account with --owner');
    const wait = options.text('wait');
    const query = new URLSearchParams();
    if (owner !== undefined) query.set('owner', owner);
    if (wait !== undefined) query.set('wait', wait);
    const path = owner === undefined ? tokenPath(call) : '/v1/tokens';
    const suffix = query.size === 0 ? '' : `?${query}`;
    const answer = await (await AdminClient.of(call)).call('DELETE', `${path}${suffix}`);
    noteWhatIsPending(answer, call);
    const { body } = answer;
    return show(call, body, () => {
      if (owner !== undefined)
        return rows([['revoked', `${plain(body['revoked'])} tokens of ${owner}`], ...whereItHolds(answer)]);
      return describe((body['token'] as Token | undefined) ?? body, whereItHolds(answer));
    });
  },
};

const usage: Command = {
  summary: 'What a token was used for',
  usage: `ID [--from TIME] [--to TIME] [--step 1h|1d] ${clientUsage}`,
  args: ['ID'],
  options: {
    from: { type: 'string', value: 'TIME', about: 'Where the range begins (default: 24 hours before its end)' },
    to: { type: 'string', value: 'TIME', about: 'Where it ends (default: now)' },
    step: { type: 'string', value: '1h|1d', about: 'Length of one line (default: 1h)' },
    ...clientOptions,
  },
  async run(call) {
    const query = new URLSearchParams();
    for (const name of ['from', 'to', 'step']) {
      const value = call.options.text(name);
      if (value !== undefined) query.set(name, value);
    }
    const { body } = await (await AdminClient.of(call)).call('GET', `${tokenPath(call)}/usage?${query}`);
    return show(call, body, () => usageText(body));
  },
};

const reset: Command = {
  summary: 'Begin the present window of a limit anew',
  usage: `ID LIMIT ${clientUsage}`,
  args: ['ID', 'LIMIT'],
  options: clientOptions,
  async run(call) {
    const limit = encodeURIComponent(call.args[1] ?? '');
    const { body } = await (await AdminClient.of(call)).call('POST', `${tokenPath(call)}/limits/${limit}/reset`);
    return show(call, body, () => usageText(body));
  },
};

const events: Command = {
  summary: 'Who changed a token, and what, oldest first',
  usage: `ID ${clientUsage}`,
  args: ['ID'],
  options: clientOptions,
  async run(call) {
    const { items } = await (await AdminClient.of(call)).list(`${tokenPath(call)}/events`, 'events');
    return show(call, { events: items }, () => eventTable(items));
  },
};

export const tokenCommands: Group = {
  summary: 'Tokens',
  commands: {
    create,
    list: listTokens,
    show: single('Show a token', 'GET'),
    update,
    rotate,
    enable: single('Let a disabled token work again', 'POST', '/enable'),
    disable: single('Stop a token until it is enabled', 'POST', '/disable'),
    revoke,
    usage,
    reset,
    events,
    import: importToken,
  },
};
