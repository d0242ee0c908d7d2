import { checked, faultOf, type OpenSource, openSource, StoreFault, StoreInUse, StoreMissing } from '../app-store.ts';
import { loadConfig } from '../config/load.ts';
import { problemLine } from '../config/problems.ts';
import { type Call, type Command, Failed, UsageError } from './command.ts';
import { needSource } from './source.ts';
import { writeWhole } from './store-file.ts';
import { askOwner } from './store-owner.ts';
import { clientOptions, clientUsage } from './target.ts';

export const backup: Command = {
  summary: 'Write everything that the store keeps to FILE, or to standard output (-)',
  usage: `FILE|- ${clientUsage}`,
  args: ['FILE|-'],
  options: clientOptions,
  async run(call) {
    const { args, options, io } = call;
    const file = args[0]!;
    const json = options.flag('json');
    if (file === '-' && json) throw new UsageError('--json and - both want standard output');
    const { bytes, close } = await bytesToWrite(call);
    try {
      const whole = checked(bytes);
      if (file === '-') for await (const piece of whole.bytes) await io.write(piece);
      else await writeWhole(file, whole.bytes);
      const records = whole.counts();
      if (json) io.out(JSON.stringify({ file, records }));
      else if (file !== '-') io.out(`${file}: ${countsText(records)}`);
      return 0;
    } catch (error) {
      throw failed(error);
    } finally {
      await close();
    }
  },
};

interface Bytes {
  readonly bytes: AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** From the store of the configuration; from the process that owns it, where one does or its address was said. */
async function bytesToWrite(call: Call): Promise<Bytes> {
  const { options, io } = call;
  const nothing = async (): Promise<void> => {};
  const asked = async (): Promise<Bytes> => ({ bytes: await askOwner(call), close: nothing });
  if (options.text('url') !== undefined || io.env['POSTERN_ADMIN_URL'] !== undefined) return asked();
  const loaded = await loadConfig(needSource(options, io));
  if (!loaded.ok) throw new UsageError(loaded.problems.map(problemLine).join('\n'));
  let source: OpenSource;
  try {
    source = await openSource(loaded.config.store);
  } catch (error) {
    if (error instanceof StoreInUse) return asked();
    throw failed(error);
  }
  return { bytes: source.backup(), close: () => source.close() };
}

export const countsText = (counts: Readonly<Record<string, number>>): string =>
  ['role', 'account', 'token', 'event', 'usage'].map(kind => `${counts[kind] ?? 0} ${names[kind]}`).join(', ');

const names: Readonly<Record<string, string>> = {
  role: 'roles',
  account: 'accounts',
  token: 'tokens',
  event: 'audit events',
  usage: 'tokens with usage',
};

/** What went wrong, in words for whoever called. */
export function failed(error: unknown): unknown {
  const fault = faultOf(error);
  const isTold = fault instanceof StoreFault || fault instanceof StoreInUse || fault instanceof StoreMissing;
  return isTold ? new Failed(fault.message, { cause: error }) : error;
}
