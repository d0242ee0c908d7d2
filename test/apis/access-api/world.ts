import { mount } from '../../../src/apis/access-api/mount.ts';
import type { Recovery } from '../../../src/apis/parts.ts';
import type { Form } from '../../../src/core/form.ts';
import type { TokenService } from '../../../src/manage/token-service.ts';
import type { Mount, MountAnswer } from '../../../src/ports/mount.ts';
import type { Identified, Presented } from '../../../src/ports/session-source.ts';
import { asker } from '../../support/asker.ts';
import { type Managed, openManaged, ops } from '../../support/managed.ts';
import { aForm } from '../../support/request.ts';

/** What an account here may do, as the system whose API it is says it. */
export const everyPermission = ['db.get', 'db.update', 'db.add', 'db.remove', 'db.alter', 'site.stock_images.*'];

export interface Sent {
  readonly method?: string;
  readonly target: string;
  /** Urlencoded where `fields` do not say something else. */
  readonly body?: string | Uint8Array;
  readonly fields?: readonly string[];
}

const urlencoded = ['Content-Type', 'application/x-www-form-urlencoded'];

/**
 * The room at `/legacy` over a real store. Sessions: `alice` of acme, which may do everything; `bob` of globex, which may
 * read databases 7 and 8; `carol` of initech, which was never given anything; `down` cannot be checked. `issued` is
 * somebody who came by a token.
 */
export class World {
  readonly managed: Managed;
  readonly mount: Mount;
  /** What sessions were asked about, in order. */
  readonly asked: Presented[] = [];
  /** Faults that were logged. */
  readonly faults: unknown[] = [];

  private constructor(managed: Managed, tokens: TokenService, recovery: Recovery | null) {
    this.managed = managed;
    const unused = () => {};
    this.mount = mount(
      {
        tokens,
        accounts: managed.accounts,
        identities: { identify: async presented => this.#identify(presented) },
        recovery,
        clock: managed.clock,
        log: { info: unused, warn: unused, error: unused, fault: error => void this.faults.push(error) },
        onChange: () => unused,
      },
      { path: '/legacy' },
    );
  }

  /** `tokens`: members that stand in front of the service's own. */
  static async open(tokens: Partial<TokenService> = {}, recovery: Recovery | null = null): Promise<World> {
    const managed = await openManaged();
    await managed.accounts.create(ops, { id: 'acme', permissions: everyPermission });
    const reading = [{ resources: ['db/7', 'db/8'], actions: { 'db.get': true } }];
    await managed.accounts.create(ops, { id: 'globex', permissions: reading });
    await managed.accounts.create(ops, { id: 'initech' });
    const service = new Proxy(managed.tokens, {
      get: (own, name: keyof TokenService) => tokens[name] ?? own[name].bind(own),
    });
    return new World(managed, service, recovery);
  }

  #identify(presented: Presented): Identified {
    this.asked.push(presented);
    const manager = (account: string, by: 'session' | 'token'): Identified => ({
      kind: 'manager',
      manager: { account, permissions: { has: () => false, names: [] }, by, tokenId: by === 'token' ? 'tok_1' : null },
    });
    switch (presented.parameter) {
      case 'alice':
        return manager('acme', 'session');
      case 'bob':
        return manager('globex', 'session');
      case 'carol':
        return manager('initech', 'session');
      case 'issued':
        return manager('acme', 'token');
      case 'down':
        return { kind: 'unavailable', retryAfter: 1 };
      default:
        return { kind: 'nobody' };
    }
  }

  /** Null: it goes on to the routes. */
  async send(sent: Sent): Promise<MountAnswer | null> {
    const { form, bytes } = received(sent);
    const claim = this.mount.claims(form);
    if (claim === 'no' || (claim === 'form' && !this.mount.claimsForm(form, Buffer.from(bytes).toString('utf8')))) {
      return null;
    }
    return this.mount.answer({
      form,
      requestId: 'r1',
      client: '192.0.2.7',
      asker,
      origin: 'https://api.example.com',
      body: async limit => (bytes.length > limit ? 'too_large' : bytes),
    });
  }

  /** The text of an answer; `(routes)` for what is not the room's. */
  async text(sent: Sent): Promise<string> {
    return ((await this.send(sent))?.body ?? '(routes)') as string;
  }

  /** A call as a form, parsed. */
  async call(parameters: Record<string, string>): Promise<Answered> {
    return JSON.parse(
      await this.text({ method: 'POST', target: '/legacy', body: new URLSearchParams(parameters).toString() }),
    );
  }

  dispose(): Promise<void> {
    return this.managed.dispose();
  }
}

export interface Answered {
  readonly return_code: string;
  readonly message: string;
  // biome-ignore lint/suspicious/noExplicitAny: what a client would parse
  readonly data: any;
}

function received({ method, target, body, fields }: Sent): { form: Form; bytes: Uint8Array } {
  const bytes = typeof body === 'string' ? Buffer.from(body) : (body ?? new Uint8Array());
  const framing = body === undefined ? [] : ['Content-Length', String(bytes.length)];
  const type = fields ?? (body === undefined ? [] : urlencoded);
  return { form: aForm(target, [...type, ...framing], { method: method ?? 'GET' }), bytes };
}
