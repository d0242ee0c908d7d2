import { codeOf } from '../core/decision.ts';
import { hourOf } from '../core/usage.ts';
import type { Code } from '../errors.ts';
import type { Log } from '../ports/log.ts';
import type { RequestRecord } from '../ports/recorder.ts';
import type { UsageEntry, UsageLedger } from '../ports/usage-ledger.ts';

interface Tally {
  allowed: number;
  readonly refused: Partial<Record<Code, number>>;
  readonly status: Record<string, number>;
  bytesIn: number;
  bytesOut: number;
  lastUsedAt: number;
}

/** Most entries in one report. */
const reportSize = 500;

/**
 * Usage of tokens, counted in memory and reported once a second. A report is kept and sent again, under its number,
 * until the ledger has answered it: a kill loses at most what was not reported, and nothing counts twice.
 */
export class UsageCounters {
  readonly #ledger: UsageLedger;
  readonly #log: Log;
  readonly #process: string;
  /** By hour and token. */
  #tallies = new Map<string, { readonly tokenId: string; readonly hour: number; readonly tally: Tally }>();
  #unanswered: { readonly number: number; readonly entries: readonly UsageEntry[] }[] = [];
  #number = 0;
  #reporting: Promise<void> | null = null;
  /** A report that will begin when the one under way has ended. */
  #next: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;

  /** `process`: this run of this process, unlike every other. */
  constructor(ledger: UsageLedger, process: string, log: Log) {
    this.#ledger = ledger;
    this.#process = process;
    this.#log = log;
  }

  start(): void {
    this.#timer ??= setInterval(() => void this.flush(), 1000).unref();
  }

  /** Stops the clock and reports what is left. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    await this.flush();
  }

  count({ subject, outcome, status, reason, bytesIn, bytesOut, at }: RequestRecord): void {
    if (subject === null) return;
    const tally = this.#tally(subject.token.id, at);
    const code = codeOf(reason);
    if (code === null || wasForwarded(code)) tally.allowed++;
    else tally.refused[code] = (tally.refused[code] ?? 0) + 1;
    if (outcome !== 'aborted' || status !== 499) {
      const klass = classes[Math.floor(status / 100)] ?? 'other';
      tally.status[klass] = (tally.status[klass] ?? 0) + 1;
    }
    tally.bytesIn += bytesIn;
    tally.bytesOut += bytesOut;
    if (at > tally.lastUsedAt) tally.lastUsedAt = at;
  }

  /**
   * Reports everything counted before this call. Never rejects: what the ledger did not take stays for the next time.
   * A report under way may have been made up before, so this waits for one that was not.
   */
  flush(): Promise<void> {
    if (this.#reporting === null) {
      this.#reporting = this.#report().finally(() => {
        this.#reporting = null;
      });
      return this.#reporting;
    }
    this.#next ??= this.#reporting.then(() => {
      this.#next = null;
      return this.flush();
    });
    return this.#next;
  }

  async #report(): Promise<void> {
    let collected = false;
    for (;;) {
      if (this.#unanswered.length === 0) {
        // New counts wait until old reports are taken: an outage grows the counts, not the number of reports.
        if (collected) return;
        collected = true;
        this.#collect();
      }
      const report = this.#unanswered[0];
      if (report === undefined) return;
      try {
        await this.#ledger.report({ process: this.#process, ...report });
      } catch (error) {
        this.#log.fault(error, 'usage could not be reported; it is kept and reported later');
        return;
      }
      this.#unanswered.shift();
    }
  }

  #collect(): void {
    const entries = [...this.#tallies.values()].map(({ tokenId, hour, tally }) => ({ tokenId, hour, usage: tally }));
    this.#tallies = new Map();
    for (let i = 0; i < entries.length; i += reportSize) {
      this.#unanswered.push({ number: ++this.#number, entries: entries.slice(i, i + reportSize) });
    }
  }

  #tally(tokenId: string, at: number): Tally {
    const hour = hourOf(at);
    const key = `${hour} ${tokenId}`;
    let entry = this.#tallies.get(key);
    if (entry === undefined) {
      entry = { tokenId, hour, tally: { allowed: 0, refused: {}, status: {}, bytesIn: 0, bytesOut: 0, lastUsedAt: 0 } };
      this.#tallies.set(key, entry);
    }
    return entry.tally;
  }
}

const classes = [undefined, '1xx', '2xx', '3xx', '4xx', '5xx'] as const;

/** The decision was to forward, whatever became of it then. */
const wasForwarded = (code: Code): boolean => code === 'upstream_failed' || code === 'upstream_timeout';
