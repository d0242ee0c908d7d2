import type { Subject } from '../../src/core/token.ts';
import { addUsage, noUsage, type Usage } from '../../src/core/usage.ts';
import { StoreUnavailable } from '../../src/errors.ts';
import type { RequestRecord } from '../../src/ports/recorder.ts';
import type { UsageLedger, UsageReport } from '../../src/ports/usage-ledger.ts';

/** What becomes of one report: taken, never arrived, or taken and its answer lost. */
export type Fate = 'taken' | 'lost' | 'answer lost';

/** A ledger that keeps the promise of its port over an unreliable link. */
export class UnreliableLedger {
  readonly received: UsageReport[] = [];
  readonly totals: Map<string, Usage> = new Map();
  fate: () => Fate = () => 'taken';
  /** Runs while a report is under way. */
  meanwhile: () => void = () => {};
  readonly #last = new Map<string, number>();

  get port(): UsageLedger {
    return { report: (report: UsageReport) => this.#report(report) } as UsageLedger;
  }

  async #report(report: UsageReport): Promise<void> {
    this.received.push(report);
    const fate = this.fate();
    const entries = structuredClone(report.entries);
    await Promise.resolve();
    this.meanwhile();
    if (fate !== 'lost' && report.number > (this.#last.get(report.process) ?? 0)) {
      this.#last.set(report.process, report.number);
      for (const { tokenId, hour, usage } of entries) {
        const key = `${tokenId} ${hour}`;
        this.totals.set(key, addUsage(this.totals.get(key) ?? noUsage, usage));
      }
    }
    if (fate !== 'taken') throw new StoreUnavailable(fate, { sent: fate === 'answer lost' });
  }
}

/** The record of an allowed request by a token. */
export const aRecord = (tokenId: string | null, more: Partial<RequestRecord> = {}): RequestRecord => ({
  requestId: 'r',
  parentRequestId: null,
  route: null,
  method: 'GET',
  path: '/',
  status: 200,
  reason: 'allowed',
  shadow: null,
  outcome: 'allowed',
  subject: tokenId === null ? null : ({ token: { id: tokenId } } as Subject),
  client: '192.0.2.1',
  peer: '192.0.2.1',
  upstream: null,
  detail: null,
  fault: null,
  retried: false,
  bytesIn: 1,
  bytesOut: 2,
  durationMs: 1,
  overheadMs: 1,
  upstreamMs: null,
  at: Date.UTC(2030, 0, 1),
  ...more,
});
