import type { StoredToken } from '../../src/core/token.ts';
import type { Usage } from '../../src/core/usage.ts';
import { noUsage } from '../../src/core/usage.ts';
import { AccountService } from '../../src/manage/account-service.ts';
import { Acknowledgements } from '../../src/manage/acknowledgement.ts';
import type { Actor, ManageParts } from '../../src/manage/parts.ts';
import { RoleService } from '../../src/manage/role-service.ts';
import { SessionService } from '../../src/manage/session-service.ts';
import { TokenService } from '../../src/manage/token-service.ts';
import type { SecretMaker } from '../../src/ports/secret-maker.ts';
import type { FeedEvent } from '../../src/ports/token-store.ts';
import { Mint, randomBase62 } from '../../src/secrets/mint.ts';
import { type Pepper, Peppers } from '../../src/secrets/peppers.ts';
import { Scrypt } from '../../src/secrets/scrypt.ts';
import { Vault } from '../../src/secrets/vault.ts';
import { aToken, type TestedStore } from '../contract/harness.ts';
import { openInFolder } from './embedded.ts';
import type { ManualClock } from './manual-clock.ts';
import { MemoryLedger } from './memory-ledger.ts';

/** The services over a real store, with everything that they touch laid open. */
export interface Managed {
  readonly tokens: TokenService;
  readonly accounts: AccountService;
  readonly roles: RoleService;
  readonly sessions: SessionService;
  readonly parts: ManageParts;
  readonly store: TestedStore;
  readonly clock: ManualClock;
  /** Events that were applied on this process, in order. */
  readonly applied: FeedEvent[];
  /** Of limits. */
  readonly limits: MemoryLedger;
  /** Tokens of the configuration. */
  readonly declared: Map<string, StoredToken>;
  /** Counts use of a token on this process; the ledger learns of it when it is flushed. */
  use(tokenId: string, usage: Partial<Usage>, at?: number): void;
  dispose(): Promise<void>;
}

export const ops: Actor = { name: 'ops', address: '192.0.2.1', scope: null };

/** Secrets of our own form, under peppers or none. */
export function secretMaker(peppers: readonly Pepper[] = []): SecretMaker {
  const all = new Peppers(peppers, false);
  const mint = new Mint(all, 'pst');
  return { mint: () => mint.mint(), digest: sha256 => mint.digest(sha256), digests: sha256 => all.digests(sha256) };
}

/** What keys of signatures are sealed under. */
export const testKey: Buffer = Buffer.from('q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=', 'base64');

export const aDeclaredToken = (id: string, more: Partial<StoredToken> = {}): StoredToken =>
  aToken(id, { kind: 'declared', hint: null, ...more });

const hourMs = 3_600_000;

export async function openManaged(
  change: Partial<ManageParts> = {},
  open: () => Promise<TestedStore> = openInFolder,
): Promise<Managed> {
  const store = await open();
  const { clock } = store;
  const applied: FeedEvent[] = [];
  const declared = new Map<string, StoredToken>();
  const limits = new MemoryLedger(() => clock.wall());
  let counted: { tokenId: string; hour: number; usage: Usage }[] = [];
  let reports = 0;
  const parts: ManageParts = {
    clock,
    store: store.tokens,
    ledger: store.usage,
    limits,
    flushUsage: async () => {
      const entries = counted;
      counted = [];
      if (entries.length > 0) await store.usage.report({ process: 'p1', number: ++reports, entries });
    },
    apply: async events => {
      applied.push(...events);
      return true;
    },
    secrets: secretMaker(),
    constraintSecrets: new Vault(testKey, new Scrypt()),
    tokenParameters: () => new Set(['auth_token']),
    randomText: randomBase62,
    acknowledgements: new Acknowledgements({
      registry: store.registry,
      feed: store.feed,
      clock: { wall: () => Date.now(), monotonic: () => performance.now() },
      process: 'p1',
    }),
    declared: () => declared,
    ...change,
  };
  const tokens = new TokenService(parts);
  return {
    tokens,
    sessions: new SessionService(tokens, parts),
    accounts: new AccountService(parts),
    roles: new RoleService(parts),
    parts,
    store,
    clock,
    applied,
    limits,
    declared,
    use: (tokenId, usage, at = clock.wall()) =>
      void counted.push({ tokenId, hour: at - (at % hourMs), usage: { ...noUsage, lastUsedAt: at, ...usage } }),
    dispose: () => store.dispose(),
  };
}
