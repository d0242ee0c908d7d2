import { AdminClient, clientOptions, clientUsage } from './client.ts';
import { type Call, type Command, type Group, UsageError } from './command.ts';
import { plain, rows, table } from './table.ts';

type Account = Record<string, unknown>;

const create: Command = {
  summary: 'Make an account',
  usage: `[--id ID] [--name TEXT] [--disabled] ${clientUsage}`,
  options: { ...clientOptions, id: { type: 'string' }, name: { type: 'string' }, disabled: { type: 'boolean' } },
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
    const client = await AdminClient.of(call);
    const accounts: Account[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await client.call('GET', `/v1/accounts?limit=1000${cursor === '' ? '' : `&cursor=${cursor}`}`);
      accounts.push(...(body['accounts'] as Account[]));
      cursor = body['next_cursor'] as string | null;
    }
    const { options, io } = call;
    if (options.flag('json')) io.out(JSON.stringify({ accounts }));
    else {
      const columns = ['id', 'name', 'enabled', 'created_at'] as const;
      io.out(
        table(
          columns,
          accounts.map(account => columns.map(column => plain(account[column]) || '-')),
        ),
      );
    }
    return 0;
  },
};

const update: Command = {
  summary: 'Rename an account',
  usage: `ID --name TEXT ${clientUsage}`,
  args: ['ID'],
  options: { ...clientOptions, name: { type: 'string' } },
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

export const accountCommands: Group = {
  summary: 'Accounts, which own tokens',
  commands: {
    create,
    list,
    show: single('Show an account', 'GET'),
    update,
    enable: single('Let the tokens of an account work again', 'PATCH', { enabled: true }),
    disable: single('Stop every token of an account until it is enabled', 'PATCH', { enabled: false }),
    delete: single('Delete an account; its tokens stop for good', 'DELETE'),
  },
};

const accountPath = ({ args }: Call): string => `/v1/accounts/${encodeURIComponent(args[0] ?? '')}`;

async function send(call: Call, method: string, target: string, body?: unknown): Promise<number> {
  const { options, io } = call;
  const { body: account } = await (await AdminClient.of(call)).call(method, target, body);
  if (options.flag('json')) io.out(JSON.stringify(account));
  else io.out(rows(Object.entries(account).map(([name, value]) => [name, plain(value) || '-'] as const)));
  return 0;
}
