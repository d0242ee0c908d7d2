import type { Mounts } from '../core/mounts.ts';
import type { Code } from '../errors.ts';
import type { AccountService } from '../manage/account-service.ts';
import type { RoleService } from '../manage/role-service.ts';
import type { SessionService } from '../manage/session-service.ts';
import type { TokenService } from '../manage/token-service.ts';
import type { Watchers } from '../manage/watchers.ts';
import type { Clock } from '../ports/clock.ts';
import type { Decider } from '../ports/decider.ts';
import type { GuessGuard } from '../ports/guard.ts';
import type { Log } from '../ports/log.ts';
import type { Mount } from '../ports/mount.ts';
import type { TlsMaterial } from '../wire/server.ts';
import { type Answer, Rejection } from './answer.ts';
import { Hosts } from './hosts.ts';
import type { Incoming } from './incoming.ts';
import { type AdminKey, authenticate, leftMs, scopeOf, suffices } from './keys.ts';
import { answerMounted, mayConnect } from './mounted.ts';
import { openApiDocument } from './openapi.ts';
import type { Operation } from './operation.ts';
import { operations } from './operations.ts';
import { Router } from './router.ts';
import { Server, type ServerOptions } from './server.ts';

/** What a reload of the configuration may change. */
export interface AdminPolicy {
  readonly keys: readonly AdminKey[];
  /** Host values that are answered, without ports; null: loopback names and the listener's own address. */
  readonly hosts: readonly string[] | null;
  readonly guard: GuessGuard;
  /** Token APIs that need no admin key. */
  readonly mounts: Mounts<Mount>;
}

export interface AdminParts {
  readonly tokens: TokenService;
  readonly accounts: AccountService;
  readonly roles: RoleService;
  readonly sessions: SessionService;
  readonly backup: () => AsyncIterable<string>;
  readonly watchers: Watchers;
  readonly decider: Decider;
  readonly clock: Clock;
  readonly log: Log;
  /** Of the program, for the document. */
  readonly version: string;
}

/** The admin API. `#answer` is the story of a request: is it meant for us, is it a token API's, who asks, for what, may they. */
export class AdminListener {
  readonly #parts: AdminParts;
  readonly #options: ServerOptions;
  readonly #server: Server;
  readonly #router = new Router(operations);
  readonly #counts = new Map<number, number>();
  /** Calls that are not answered to their end, and for how long their keys may go on with them. */
  readonly #underWay = new Map<Incoming, () => number>();
  #policy: AdminPolicy;
  #hosts: Hosts;
  #document: string | null = null;

  constructor(options: ServerOptions, parts: AdminParts, policy: AdminPolicy) {
    this.#options = options;
    this.#parts = parts;
    this.#policy = policy;
    this.#hosts = new Hosts(policy.hosts, options.host);
    this.#server = new Server(
      options,
      {
        onRequest: incoming => this.#answer(incoming),
        takesUpgrade: form => mayConnect(form, this.#policy.mounts),
        onAnswered: status => this.#counts.set(status, (this.#counts.get(status) ?? 0) + 1),
      },
      parts.log,
    );
  }

  set policy(policy: AdminPolicy) {
    this.#policy = policy;
    this.#hosts = new Hosts(policy.hosts, this.#options.host);
    this.#server.endConnections(policy.mounts.all);
    for (const [incoming, left] of this.#underWay) if (left() === 0) incoming.endWait();
  }

  /** Answers so far, by status. */
  get counts(): ReadonlyMap<number, number> {
    return this.#counts;
  }

  get connections(): number {
    return this.#server.connections;
  }

  /** Those of them that token APIs have taken over. */
  get mounted(): number {
    return this.#server.mounted;
  }

  get listening(): boolean {
    return this.#server.listening;
  }

  /** Starts listening; resolves with the port. */
  listen(): Promise<number> {
    return this.#server.listen();
  }

  /** Accepts nothing more; resolves when what is under way is answered, or a few seconds have passed. */
  close(): Promise<void> {
    return this.#server.close();
  }

  renewTls(tls: TlsMaterial): void {
    this.#server.renewTls(tls);
  }

  async #answer(incoming: Incoming): Promise<Answer> {
    const { form, peer } = incoming;
    const { keys, guard, mounts } = this.#policy;
    const { clock, tokens, accounts, roles, sessions, backup, watchers, decider } = this.#parts;

    this.#hosts.checkHost(form, incoming.local);
    const mounted = await answerMounted(incoming, mounts, guard);
    if (mounted !== null) {
      // A reload may have taken it away while it was asked, and has closed those of its connections that were open.
      const gone = mounted.connection !== undefined && !this.#policy.mounts.all.includes(mounted.connection.mount);
      if (!gone) return mounted;
      throw new Rejection('not_found', 'There is nothing at this path.');
    }
    this.#hosts.checkOrigin(form, incoming.local);
    const key = authenticate(form, peer, keys, guard, clock.wall());
    const { operation, params } = this.#route(incoming);
    if (!suffices(key.role, operation)) {
      throw new Rejection('forbidden', `This needs a key with the role ${operation.role}.`);
    }
    const keyLeftMs = (): number => leftMs(key, operation, this.#policy.keys, clock.wall());
    this.#follow(incoming, keyLeftMs);
    const services = { tokens, accounts, roles, sessions, backup, watchers, decider, document: () => this.#describe() };
    const actor = { name: key.name, address: peer, scope: scopeOf(key.role) };
    return operation.run(incoming, { actor, role: key.role, keyLeftMs, services, params });
  }

  /** Until its answer has been sent, or its client is gone. */
  #follow(incoming: Incoming, keyLeftMs: () => number): void {
    if (incoming.over.aborted) return;
    this.#underWay.set(incoming, keyLeftMs);
    incoming.over.addEventListener('abort', () => this.#underWay.delete(incoming), { once: true });
  }

  #route({ form }: Incoming): { readonly operation: Operation; readonly params: Readonly<Record<string, string>> } {
    const { method, target } = form;
    // `OPTIONS *` and CONNECT name no path.
    if (target.segments.length === 0) throw notAllowed(method, ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
    const match = this.#router.find(method, target.segments);
    if (match.kind === 'none') throw new Rejection('not_found', 'There is nothing at this path.');
    if (match.kind === 'method') throw notAllowed(method, match.allow);
    return match;
  }

  #describe(): string {
    this.#document ??= openApiDocument(operations, this.#parts.version);
    return this.#document;
  }
}

const notAllowed = (method: string, allow: readonly string[]): Rejection => {
  const code: Code = 'method_not_allowed';
  return new Rejection(code, `${method} is not allowed here.`, ['Allow', allow.join(', ')]);
};
