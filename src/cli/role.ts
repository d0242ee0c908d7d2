import { AdminClient, type ApiAnswer } from './client.ts';
import { type Call, type Command, type Group, UsageError } from './command.ts';
import { patchReplacing, permissionOptions, permissionsOf, permissionUsage } from './permissions.ts';
import { plain, rows, table } from './table.ts';
import { clientOptions, clientUsage } from './target.ts';
import { show } from './token-parts.ts';

type Role = Record<string, unknown>;

const memberOptions = {
  name: { type: 'string', value: 'TEXT', about: 'What people call it (default: nothing)' },
  ...permissionOptions,
} as const;

function members({ options }: Pick<Call, 'options'>) {
  const name = options.text('name');
  const permissions = permissionsOf(options);
  return { ...(name === undefined ? {} : { name }), ...(permissions === undefined ? {} : { permissions }) };
}

const create: Command = {
  summary: 'Make a role, at the end of the order',
  usage: `[--id ID] [--name TEXT] ${permissionUsage} ${clientUsage}`,
  options: {
    id: { type: 'string', value: 'ID', about: 'Its id (default: a random one)' },
    ...memberOptions,
    ...clientOptions,
  },
  async run(call) {
    const id = call.options.text('id');
    const wanted = { ...(id === undefined ? {} : { id }), ...members(call) };
    return tell(call, await (await AdminClient.of(call)).call('POST', '/v1/roles', wanted));
  },
};

const list: Command = {
  summary: 'List roles in the order in which they apply: what comes later decides',
  usage: clientUsage,
  options: clientOptions,
  async run(call) {
    return tellAll(call, await (await AdminClient.of(call)).call('GET', '/v1/roles'));
  },
};

const single = (summary: string, method: string): Command => ({
  summary,
  usage: `ID ${clientUsage}`,
  args: ['ID'],
  options: clientOptions,
  async run(call) {
    return tell(call, await (await AdminClient.of(call)).call(method, rolePath(call)));
  },
});

const update: Command = {
  summary: 'Change members of a role; permissions replace all that it had',
  usage: `ID [--name TEXT] ${permissionUsage} ${clientUsage}`,
  args: ['ID'],
  options: { ...memberOptions, ...clientOptions },
  async run(call) {
    const patch = members(call);
    if (Object.keys(patch).length === 0) throw new UsageError('nothing to change: name a member');
    return tell(call, await patchReplacing(await AdminClient.of(call), rolePath(call), patch));
  },
};

const order: Command = {
  summary: 'Put all roles in order; what comes later decides',
  usage: `ID… ${clientUsage}`,
  args: ['ID…'],
  options: clientOptions,
  async run(call) {
    const client = await AdminClient.of(call);
    return tellAll(call, await client.call('PATCH', '/v1/roles/order', { order: call.args }));
  },
};

export const roleCommands: Group = {
  summary: 'Roles, which accounts have',
  commands: {
    create,
    list,
    show: single('Show a role', 'GET'),
    update,
    delete: single('Delete a role that no account has', 'DELETE'),
    order,
  },
};

const rolePath = ({ args }: Pick<Call, 'args'>): string => `/v1/roles/${encodeURIComponent(args[0] ?? '')}`;

const tell = (call: Call, { body }: ApiAnswer): number =>
  show(call, body, () => rows(Object.entries(body).map(([name, value]) => [name, plain(value) || '-'] as const)));

const tellAll = (call: Call, { body }: ApiAnswer): number => {
  const columns = ['position', 'id', 'name', 'permissions'] as const;
  const roles = body['roles'] as readonly Role[];
  return show(call, body, () =>
    table(
      columns,
      roles.map(role => columns.map(column => plain(role[column]) || '-')),
    ),
  );
};
