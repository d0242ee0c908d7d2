import type { Limit } from '../../src/core/limit.ts';
import { type Account, type Subject, subjectOf, type Token } from '../../src/core/token.ts';
import { StoreUnavailable } from '../../src/errors.ts';
import type { LimitLedger } from '../../src/ports/limit-ledger.ts';
import type { PassedThreshold } from '../../src/ports/limit-watch.ts';
import type { LimitCharge, LimitRefusal } from '../../src/ports/limits.ts';
import type { ProcessRegistry } from '../../src/ports/process-registry.ts';
import { type LeaseOptions, Leases } from '../../src/usage/leases.ts';
import { ManualClock } from './manual-clock.ts';
import { MemoryLedger } from './memory-ledger.ts';

/** Some processes, the ledger that they share, and a clock that a test moves. Ticks come when a test says so. */
export class LeaseWorld {
  readonly clock = new ManualClock();
  readonly ledger: MemoryLedger = new MemoryLedger(() => this.clock.wall());
  readonly live = new Set<string>();
  readonly passed: PassedThreshold[] = [];
  readonly warnings: string[] = [];
  readonly #processes: Leases[] = [];
  readonly #deaf = new Set<string>();

  /** A process that has not asked for anything yet. It is live until it is said to be gone. */
  process(name: string, options: Partial<LeaseOptions> = {}): Leases {
    this.live.add(name);
    const { clock } = this;
    const registry: Pick<ProcessRegistry, 'roll'> = {
      roll: async () => {
        this.ledger.calls.push('roll');
        if (this.ledger.fate !== 'answered') throw new StoreUnavailable('no registry answers');
        const applied = { epoch: 'e', seq: 0 };
        return { now: clock.wall(), processes: [...this.live].map(process => ({ process, applied, cutOffMs: 5000 })) };
      },
    };
    const say = (_: unknown, message: string): void => {
      this.warnings.push(message);
    };
    const fault = (error: unknown): void => {
      throw error;
    };
    const { ledger } = this;
    const heard: LimitLedger = {
      exchange: (questions, circumstances) => ledger.exchange(questions, circumstances),
      define: (...args) => ledger.define(...args),
      read: (...args) => ledger.read(...args),
      reset: (...args) => ledger.reset(...args),
      listen: (hear, signal) =>
        ledger.listen(notice => {
          if (!this.#deaf.has(name)) hear(notice);
        }, signal),
    };
    const leases = new Leases(
      {
        ledger: heard,
        registry,
        clock,
        process: name,
        log: { info: say, warn: say, error: say, fault },
        watch: { passed: threshold => this.passed.push(threshold) },
      },
      { waitMs: 1000, deadlineMs: 50, outage: 'closed', ...options },
    );
    leases.listen();
    this.#processes.push(leases);
    return leases;
  }

  /** Notices do not come to this process any more. */
  deafen(name: string): void {
    this.#deaf.add(name);
  }

  /** Calls to the store since the last look. */
  calls(name = 'exchange'): number {
    const found = this.ledger.calls.filter(call => call.startsWith(name)).length;
    this.ledger.calls.length = 0;
    return found;
  }

  /** Until nobody has anything to say. */
  async settled(): Promise<void> {
    for (let turns = 0; turns < 12; turns++) await new Promise(resolve => setImmediate(resolve));
  }

  /** A second passes, for all that still run. */
  async second(running: readonly Leases[] = this.#processes): Promise<void> {
    this.clock.advance(1000);
    for (const leases of running) leases.tick();
    await this.settled();
  }

  async stop(): Promise<void> {
    for (const leases of this.#processes) await leases.stop();
  }
}

export const asker = { answered: false };

export type Charged = LimitCharge | LimitRefusal | null;

export const limit = (max: number, more: Partial<Limit> = {}): Limit => ({
  name: 'n',
  max,
  per: 'lifetime',
  algorithm: 'window',
  burst: max,
  ...more,
});

let made = 0;

/** A token of its own, with these limits, and an account with those. */
export function limited(limits: readonly Limit[], ofAccount: readonly Limit[] | null = null, version = 1): Subject {
  const id = `tok${++made}`;
  return subjectWith(id, limits, ofAccount === null ? null : account(`acc${made}`, ofAccount), version);
}

export function subjectWith(id: string, limits: readonly Limit[], owner: Account | null, version = 1): Subject {
  const token: Token = {
    id,
    name: id,
    owner: owner?.id ?? null,
    kind: 'native',
    hint: null,
    state: 'enabled',
    mode: 'enforce',
    createdAt: 0,
    updatedAt: 0,
    notBefore: null,
    expiresAt: null,
    permissions: [],
    limits,
    constraints: {},
    extra: {},
    tags: [],
    version,
  };
  return subjectOf(token, owner, [], null);
}

export const account = (id: string, limits: readonly Limit[], version = 1): Account => ({
  id,
  name: id,
  enabled: true,
  roles: [],
  permissions: null,
  owns: null,
  limits,
  revokedBefore: null,
  deleted: false,
  createdAt: 0,
  updatedAt: 0,
  version,
});
