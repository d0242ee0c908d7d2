import { hash } from 'node:crypto';
import { AdminClient } from './client.ts';
import { type Command, UsageError } from './command.ts';
import { importHint, secretFault } from './secret-check.ts';
import { clientOptions, clientUsage } from './target.ts';
import { inputFor, memberOptions, members, memberUsage } from './token-members.ts';
import { show, tokenPath } from './token-parts.ts';
import { describe } from './token-text.ts';

export const importToken: Command = {
  summary: 'Make or replace a token whose secret exists: by its SHA-256, or with the secret on standard input',
  usage: `ID (--secret-sha256 HEX | --secret-stdin) ${memberUsage} ${clientUsage}`,
  args: ['ID'],
  options: {
    'secret-sha256': { type: 'string', value: 'HEX', about: 'SHA-256 of the secret, 64 hex digits' },
    'secret-stdin': {
      type: 'boolean',
      about: 'The secret is on standard input, and is checked against the configuration',
    },
    ...memberOptions,
    ...clientOptions,
  },
  async run(call) {
    const { options, io } = call;
    const digest = options.text('secret-sha256');
    if ((digest === undefined) === !options.flag('secret-stdin')) {
      throw new UsageError('say either --secret-sha256 or --secret-stdin');
    }
    if (options.flag('secret-stdin') && options.text('constraints') === '-') {
      throw new UsageError('--secret-stdin and --constraints - both read standard input');
    }
    const body = members(options, await inputFor(call));
    const client = await AdminClient.of(call);
    const secret = digest === undefined ? (await io.read()).replace(/\r?\n$/, '') : null;
    const fault = secret === null ? null : secretFault(secret, client.config);
    if (fault !== null) throw new UsageError(`the secret on standard input ${fault}`);
    const { body: token } = await client.call('PUT', tokenPath(call), {
      secret_sha256: digest ?? hash('sha256', secret ?? '', 'hex'),
      ...body,
    });
    show(call, token, () => describe(token));
    if (secret === null || client.config === null) io.err(importHint);
    return 0;
  },
};
