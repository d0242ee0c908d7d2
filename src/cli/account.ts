import { noteWhatIsPending, waitOption, whereItHolds } from './acknowledged.ts';
import { AdminClient } from './client.ts';
import { type Call, type Command, type Group, UsageError } from './command.ts';
import { plain, rows, table } from './table.ts';
import { clientOptions, clientUsage } from './target.ts';
import { show } from './token-parts.ts';

type Account = Record<string, unknown>;

const create: Command = {
  summary: 'Make an account',
  usage: `[--id ID] [--name TEXT] [--disabled] ${clientUsage}`,
  options: {
    id: { type: 'string', value: 'ID', about: 'Its id (default: a random one)' },
    name: { type: 'string', value: 'TEXT', about: 'What people call it (default: nothing)' },
    disabled: { type: 'boolean', about: 'Its tokens do not work until it is enabled (default: they do)' },
    ...clientOptions,
  },
  async run(call) {
    const { options } = call;
    const id = options.text('id');
    const name = options.text('name');
    return send(call, 'POST', '/v1/accounts', {
      ...(id === undefined ? {} : { id }),
      ...(name === undefined ? {} : { name }),
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
    const columns = ['id', 'name', 'enabled', 'created_at'] as const;
    return show(call, { accounts: items }, () =>
      table(
        columns,
        items.map(account => columns.map(column => plain(account[column]) || '-')),
      ),
    );
  },
};

const update: Command = {
  summary: 'Rename an account',
  usage: `ID --name TEXT ${clientUsage}`,
  args: ['ID'],
  options: { name: { type: 'string', value: 'TEXT', about: 'What people shall call it' }, ...clientOptions },
  async run(call) {
    const name = call.options.text('name');
    if (name === undefined) throw new UsageError('nothing to change: say --name');
    return send(call, 'PATCH', accountPath(call), { name });
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

export const accountCommands: Group = {
  summary: 'Accounts, which own tokens',
  commands: {
    create,
    list,
    show: single('Show an account', 'GET'),
    update,
    enable: single('Let the tokens of an account work again', 'PATCH', { enabled: true }),
    disable: single('Stop every token of an account until it is enabled', 'PATCH', { enabled: false }),
    delete: remove,
  },
};

const accountPath = ({ args }: Call): string => `/v1/accounts/${encodeURIComponent(args[0] ?? '')}`;

async function send(call: Call, method: string, target: string, sent?: unknown): Promise<number> {
  const answer = await (await AdminClient.of(call)).call(method, target, sent);
  noteWhatIsPending(answer, call);
  const { body } = answer;
  // A deletion answers with the account and with where it holds; everything else with the account itself.
  const account = (body['account'] as Account | undefined) ?? body;
  const members = Object.entries(account).map(([name, value]) => [name, plain(value) || '-'] as const);
  return show(call, body, () => rows([...members, ...whereItHolds(answer)]));
}
