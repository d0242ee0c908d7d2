import { checked, type Examined, examine, StoreInUse } from '../app-store.ts';
import { loadConfig } from '../config/load.ts';
import { problemLine } from '../config/problems.ts';
import { type Call, type Command, UsageError } from './command.ts';
import { needSource } from './source.ts';
import { countsText, failed } from './store-backup.ts';
import { askOwner } from './store-owner.ts';
import { plain, table } from './table.ts';
import { clientOptions, clientUsage } from './target.ts';

type Findings = Examined['findings'];

export const check: Command = {
  summary: 'Look at the whole store: is it in reach, whole, and kept safe; exit 1 when it is not',
  usage: clientUsage,
  options: clientOptions,
  async run(call) {
    const { options, io } = call;
    const loaded = await loadConfig(needSource(options, io));
    if (!loaded.ok) throw new UsageError(loaded.problems.map(problemLine).join('\n'));
    const { store } = loaded.config;
    const { identity, findings } = await look(call, store);
    const good = findings.every(({ state }) => state !== 'bad');
    if (options.flag('json')) {
      io.out(JSON.stringify({ ok: good, kind: store.kind, identity, findings }));
      return good ? 0 : 1;
    }
    const lines = findings.map(({ name, state, detail }) => [name, state, plain(detail)]);
    io.out(table(['what', 'state', 'detail'], lines));
    return good ? 0 : 1;
  },
};

type Settings = Parameters<typeof examine>[0];

async function look(
  call: Call,
  settings: Settings,
): Promise<{ readonly identity: string | null; readonly findings: Findings }> {
  try {
    const { identity, findings } = await examine(settings);
    const reached = { name: 'reach', state: 'good', detail: `${settings.kind} store ${identity}` } as const;
    return { identity, findings: [reached, ...findings] };
  } catch (error) {
    if (error instanceof StoreInUse) return { identity: null, findings: await throughOwner(call) };
    const fault = failed(error);
    if (!(fault instanceof Error) || fault === error) throw error;
    return { identity: null, findings: [{ name: 'reach', state: 'bad', detail: fault.message }] };
  }
}

/** A store that a running process owns is read from end to end through it; its file is that process's alone. */
async function throughOwner(call: Call): Promise<Findings> {
  const owned = { name: 'reach', state: 'good', detail: 'a running process owns the store, and was asked' } as const;
  const began = performance.now();
  try {
    const { bytes, counts } = checked(await askOwner(call));
    let length = 0;
    for await (const piece of bytes) length += piece.length;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    return [
      owned,
      { name: 'counts', state: 'good', detail: countsText(counts()) },
      { name: 'reading', state: 'good', detail: `read from end to end, ${length} bytes in ${seconds} s` },
      { name: 'file', state: 'doubtful', detail: 'not looked at: for that stop the process, and check again' },
    ];
  } catch (error) {
    const why = (failed(error) as Error).message;
    const detail = `a running process owns the store, and it cannot be asked: ${why}`;
    return [{ name: 'reach', state: 'bad', detail }];
  }
}
