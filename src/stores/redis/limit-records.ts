import type { Lease, Ledger } from '../../core/ledger.ts';
import { type Algorithm, type Limit, ledgerName, type Period } from '../../core/limit.ts';
import type { Head } from '../../core/limit-book.ts';

/** Heads and ledgers of limits as text; `scripts/limits.ts` says what stands where. */

/** A ledger's name on one line, whatever its limit is called. */
export const wordOf = (ledger: string): string => JSON.stringify(ledger).slice(1, -1);

export const ledgerOf = (word: string): string => JSON.parse(`"${word}"`) as string;

export const limitsText = (limits: readonly Limit[]): string =>
  limits
    .map(limit => {
      const { max, burst, per, algorithm } = limit;
      return `${max} ${burst} ${per} ${algorithm} ${wordOf(ledgerName(limit))}\n`;
    })
    .join('');

export const headText = ({ version, clock, limits }: Head): string => `${version} ${clock}\n${limitsText(limits)}`;

export function parseHead(text: string): Head {
  const [first = '', ...lines] = text.split('\n');
  const [version, clock] = first.split(' ');
  return {
    version: Number(version),
    clock: Number(clock),
    limits: lines.slice(0, -1).map(line => {
      const [, max, burst, per, algorithm, word] = /^(\S+) (\S+) (\S+) (\S+) (.*)$/.exec(line)!;
      const name = ledgerOf(word!).slice(0, -`:${per}:${algorithm}`.length);
      return {
        name,
        max: Number(max),
        per: per as Period,
        algorithm: algorithm as Algorithm,
        burst: Number(burst),
      };
    }),
  };
}

export function ledgerText(ledger: Ledger): string {
  const { generation, settled, lost, waived, level, at, recall, awaited, closedUntil, leases } = ledger;
  const lines = [
    [generation, settled, lost, waived, level, at, recall, awaited ? 1 : 0, closedUntil],
    ...Object.entries(leases).map(([process, lease]) => {
      const { number, granted, returned, spent, overdrawn, answered, seen, gone } = lease;
      return [process, number, granted, returned, spent, overdrawn, answered, seen, gone];
    }),
  ];
  return lines.map(line => `${line.join(' ')}\n`).join('');
}

export function parseLedger(text: string): Ledger {
  const [first = '', ...lines] = text.split('\n');
  const [generation, settled, lost, waived, level, at, recall, awaited, closedUntil] = numbers(first);
  return {
    generation: generation!,
    settled: settled!,
    lost: lost!,
    waived: waived!,
    level: level!,
    at: at!,
    recall: recall!,
    awaited: awaited === 1,
    closedUntil: closedUntil!,
    leases: Object.fromEntries(lines.slice(0, -1).map(parseLease)),
  };
}

function parseLease(line: string): [string, Lease] {
  const space = line.indexOf(' ');
  const [number, granted, returned, spent, overdrawn, answered, seen, gone] = numbers(line.slice(space + 1));
  return [
    line.slice(0, space),
    {
      number: number!,
      granted: granted!,
      returned: returned!,
      spent: spent!,
      overdrawn: overdrawn!,
      answered: answered!,
      seen: seen!,
      gone: gone!,
    },
  ];
}

const numbers = (line: string): number[] => line.split(' ').map(Number);
