import { AdminClient } from './client.ts';
import type { Command } from './command.ts';
import { plain, rows } from './table.ts';
import { clientOptions, clientUsage } from './target.ts';
import { show, tokenPath } from './token-parts.ts';

export const sign: Command = {
  summary: 'Sign a request by a token whose constraints ask for it',
  usage: `ID TARGET [--method METHOD] [--expires-in DURATION] ${clientUsage}`,
  args: ['ID', 'TARGET'],
  options: {
    method: { type: 'string', value: 'METHOD', about: 'The method of the request (default: GET)' },
    'expires-in': { type: 'string', value: 'DURATION', about: 'How long it will be taken, up to 7d (default: 10m)' },
    ...clientOptions,
  },
  async run(call) {
    const { options, args } = call;
    const method = options.text('method');
    const wanted = {
      target: args[1],
      expires_in: options.text('expires-in') ?? '10m',
      ...(method === undefined ? {} : { method }),
    };
    const { body } = await (await AdminClient.of(call)).call('POST', `${tokenPath(call)}/sign`, wanted);
    return show(call, body, () =>
      rows([
        ['method', plain(body['method'])],
        ['target', plain(body['target'])],
        ['expires at', plain(body['expires_at'])],
      ]),
    );
  },
};
