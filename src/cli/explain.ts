import { AdminClient } from './client.ts';
import { type Command, UsageError } from './command.ts';
import { plain, rows } from './table.ts';
import { clientOptions, clientUsage } from './target.ts';
import { show } from './token-parts.ts';

interface Step {
  readonly phase: string;
  readonly outcome: string;
  readonly compared: Readonly<Record<string, unknown>>;
  readonly grant?: { readonly of: string; readonly id: string; readonly index: number } & Readonly<
    Record<string, unknown>
  >;
}

interface Explanation {
  readonly allow: boolean;
  readonly status: number;
  readonly code: string | null;
  readonly shadow: string | null;
  readonly steps: readonly Step[];
  readonly remedy: string | null;
}

export const explain: Command = {
  summary: 'Say how a request would be decided now, why, and what makes it pass: exit 0 when it is allowed, else 1',
  usage: `METHOD TARGET [--token ID | --secret-stdin] [--header 'NAME: VALUE']... [--data TEXT] [--peer ADDRESS] ${clientUsage}`,
  args: ['METHOD', 'TARGET'],
  options: {
    token: { type: 'string', value: 'ID', about: 'The token, as if it were presented (default: none)' },
    'secret-stdin': { type: 'boolean', about: 'What is presented is on standard input; this needs an admin key' },
    header: {
      type: 'string',
      value: 'NAME: VALUE',
      multiple: true,
      about: 'A header field of the request; again for more',
    },
    data: { type: 'string', value: 'TEXT', about: 'Its body (default: none)' },
    peer: { type: 'string', value: 'ADDRESS', about: 'Where it comes from (default: 127.0.0.1)' },
    ...clientOptions,
  },
  async run(call) {
    const { args, options, io } = call;
    const token = options.text('token');
    const fromInput = options.flag('secret-stdin');
    if (token !== undefined && fromInput) throw new UsageError('--token and --secret-stdin exclude each other');
    const data = options.text('data');
    const peer = options.text('peer');
    const headers = headersOf(options.list('header') ?? []);
    const client = await AdminClient.of(call);
    const secret = fromInput ? (await io.read()).replace(/\r?\n$/, '') : undefined;
    const { body } = await client.call('POST', '/v1/explain', {
      ...(token !== undefined && { token_id: token }),
      ...(secret !== undefined && { secret }),
      request: {
        method: args[0],
        target: args[1],
        headers,
        ...(data !== undefined && { body: data }),
        ...(peer !== undefined && { peer }),
      },
    });
    const explanation = body as unknown as Explanation;
    show(call, explanation, () => describe(explanation));
    return explanation.allow ? 0 : 1;
  },
};

function headersOf(lines: readonly string[]): Record<string, string[]> {
  const fields = lines.map(line => {
    const colon = line.indexOf(':');
    if (colon < 1) throw new UsageError("--header takes a field as it is written: --header 'Accept: text/plain'");
    return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()] as const;
  });
  const byName = Map.groupBy(fields, ([name]) => name);
  return Object.fromEntries([...byName].map(([name, some]) => [name, some.map(([, value]) => value)]));
}

const marks: Readonly<Record<string, string>> = { passed: '✓', failed: '✗', shadowed: '~', skipped: '-' };

function describe({ allow, status, code, shadow, steps, remedy }: Explanation): string {
  const verdict = allow
    ? shadow === null
      ? 'allowed'
      : `allowed, in shadow mode: else ${shadow}`
    : `refused: ${status} ${code}`;
  const lines = steps.map(step => [`${marks[step.outcome] ?? '?'} ${step.phase}`, stepText(step)] as const);
  // A remedy has lines of its own; what is in them is not the terminal's to obey.
  const advice = remedy === null ? '' : `\n\n${remedy.split('\n').map(plain).join('\n')}`;
  return `${verdict}\n\n${rows(lines)}${advice}`;
}

function stepText({ outcome, compared, grant }: Step): string {
  const parts = Object.entries(compared)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}: ${plain(value)}`);
  if (grant !== undefined) {
    const { of, id, index, resource, action, allow } = grant;
    parts.push(plain(`by grant ${index} of ${of} ${id}: ${String(action)} on ${String(resource)} is ${String(allow)}`));
  }
  return outcome === 'skipped' && parts.length === 0 ? 'nothing to judge' : parts.join(', ');
}
