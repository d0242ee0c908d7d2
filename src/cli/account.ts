import { noteWhatIsPending, waitOption, whereItHolds } from './acknowledged.ts';
import { AdminClient, type ApiAnswer } from './client.ts';
import { type Call, type Command, type Group, UsageError } from './command.ts';
import { demandLimit, limitOptions, limitsOf, limitsText, limitUsage, limitUseTable } from './limits.ts';
import { patchReplacing, permissionOptions, permissionsOf, permissionUsage } from './permissions.ts';
import { plain, rows, table } from './table.ts';
import { clientOptions, clientUsage } from './target.ts';
import { show } from './token-parts.ts';

type Account = Record<string, unknown>;

const memberOptions = {
  name: { type: 'string', value: 'TEXT', about: 'What people call it (default: nothing)' },
  role: { type: 'string', value: 'ID', multiple: true, about: 'A role that it has; again for more (default: none)' },
  ...permissionOptions,
  owns: {
    type: 'string',
    value: 'RESOURCE',
    multiple: true,
    about: 'What * stands for in resources, such as db/sales or db/*; again for more, empty for nothing (default: all)',
  },
  limit: { ...limitOptions.limit, about: `${limitOptions.limit.about}; of all its tokens together` },
} as const;

const memberUsage = `[--name TEXT] [--role ID]… ${permissionUsage} [--owns RESOURCE]… ${limitUsage}`;

/** What is not said is left out; one empty text is an empty list. */
function members({ options }: Pick<Call, 'options'>) {
  const name = options.text('name');
  const roles = options.list('role')?.filter(role => role !== '');
  const permissions = permissionsOf(options);
  const limits = limitsOf(options);
  const owns = options.list('owns')?.filter(resource => resource !== '');
  return {
    ...(name === undefined ? {} : { name }),
    ...(roles === undefined ? {} : { roles }),
    ...(permissions === undefined ? {} : { permissions }),
    ...(owns === undefined ? {} : { owns }),
    ...(limits === undefined ? {} : { limits }),
  };
}

const create: Command = {
  summary: 'Make an account',
  usage: `[--id ID] [--disabled] ${memberUsage} ${clientUsage}`,
  options: {
    id: { type: 'string', value: 'ID', about: 'Its id (default: a random one)' },
    disabled: { type: 'boolean', about: 'Its tokens do not work until it is enabled (default: they do)' },
    ...memberOptions,
    ...clientOptions,
  },
  async run(call) {
    const { options } = call;
    demandLimit(options);
    const id = options.text('id');
    return send(call, 'POST', '/v1/accounts', {
      ...(id === undefined ? {} : { id }),
      ...members(call),
      ...(options.flag('disabled') ? { enabled: false } : {}),
    });
  },
};

const list: Command = {
  summary: 'List accounts',
  usage: clientUsage,
  options: clientOptions,
  async run(call) {
    const { items } = await (await AdminClient.of(call)).list('/v1/accounts', 'accounts');
    const columns = ['id', 'name', 'enabled', 'roles', 'created_at'] as const;
    return show(call, { accounts: items }, () =>
      table(
        columns,
        items.map(account => columns.map(column => shown(account[column]))),
      ),
    );
  },
};

const update: Command = {
  summary: 'Change members of an account; roles, permissions, what it owns and limits replace all that it had',
  usage: `ID ${memberUsage} ${clientUsage}`,
  args: ['ID'],
  options: { ...memberOptions, ...clientOptions },
  async run(call) {
    const patch = members(call);
    if (Object.keys(patch).length === 0) throw new UsageError('nothing to change: name a member');
    return tell(call, await patchReplacing(await AdminClient.of(call), accountPath(call), patch));
  },
};

const single = (summary: string, method: string, body?: unknown): Command => ({
  summary,
  usage: `ID ${clientUsage}`,
  args: ['ID'],
  options: clientOptions,
  run: call => send(call, method, accountPath(call), body),
});

const remove: Command = {
  summary: 'Delete an account; its tokens stop for good',
  usage: `ID [--wait DURATION] ${clientUsage}`,
  args: ['ID'],
  options: { ...waitOption, ...clientOptions },
  async run(call) {
    const wait = call.options.text('wait');
    return send(call, 'DELETE', `${accountPath(call)}${wait === undefined ? '' : `?${new URLSearchParams({ wait })}`}`);
  },
};

const usage = (summary: string, args: readonly string[], method: string): Command => ({
  summary,
  usage: `${args.join(' ')} ${clientUsage}`,
  args,
  options: clientOptions,
  async run(call) {
    const limit = call.args[1];
    const path = limit === undefined ? '/usage' : `/limits/${encodeURIComponent(limit)}/reset`;
    const { body } = await (await AdminClient.of(call)).call(method, `${accountPath(call)}${path}`);
    return show(call, body, () => limitUseTable((body['limits'] ?? []) as Account[]));
  },
});

export const accountCommands: Group = {
  summary: 'Accounts, which own tokens',
  commands: {
    create,
    list,
    show: single('Show an account', 'GET'),
    update,
    enable: single('Let the tokens of an account work again', 'PATCH', { enabled: true }),
    disable: single('Stop every token of an account until it is enabled', 'PATCH', { enabled: false }),
    usage: usage('What is left of the limits of an account', ['ID'], 'GET'),
    reset: usage('Begin the present window of a limit anew', ['ID', 'LIMIT'], 'POST'),
    delete: remove,
  },
};

/** What no list stands for. */
const unsaid: Readonly<Record<string, string>> = { owns: 'everything', permissions: 'has no say' };

/** No list is one thing, an empty list another. */
const shown = (value: unknown): string =>
  Array.isArray(value) && value.every(entry => typeof entry === 'string')
    ? value.map(plain).join(', ') || 'none'
    : plain(value) || '-';

const textOf = (name: string, value: unknown): string =>
  name === 'limits' ? limitsText(value) || 'none' : shown(value);

const accountPath = ({ args }: Call): string => `/v1/accounts/${encodeURIComponent(args[0] ?? '')}`;

async function send(call: Call, method: string, target: string, sent?: unknown): Promise<number> {
  return tell(call, await (await AdminClient.of(call)).call(method, target, sent));
}

function tell(call: Call, answer: ApiAnswer): number {
  noteWhatIsPending(answer, call);
  const { body } = answer;
  // A deletion answers with the account and with where it holds; everything else with the account itself.
  const account = (body['account'] as Account | undefined) ?? body;
  const members = Object.entries(account).map(
    ([name, value]) => [name, (value === null ? unsaid[name] : undefined) ?? textOf(name, value)] as const,
  );
  return show(call, body, () => rows([...members, ...whereItHolds(answer)]));
}
