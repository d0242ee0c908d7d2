import { isIPv6 } from 'node:net';
import { single } from '../core/fields.ts';
import { type Form, readHost } from '../core/form.ts';
import { Rejection } from './answer.ts';

/**
 * A page that a browser has loaded from elsewhere may send requests here under a name of its own (DNS rebinding) or
 * across sites. Therefore only known Host values are answered, on any port, and an Origin must be one of them.
 */
export class Hosts {
  /** Null: loopback names, and the address that the client has reached. */
  readonly #listed: ReadonlySet<string> | null;
  readonly #own: string | null;

  /** `listed`: without ports, IPv6 addresses in brackets. `own`: what the listener is configured to listen on. */
  constructor(listed: readonly string[] | null, own: string | undefined) {
    this.#listed = listed === null ? null : new Set(listed.map(host => readHost(host) ?? host.toLowerCase()));
    this.#own = own === undefined ? null : hostOf(own.toLowerCase());
  }

  /** Throws a `Rejection` when the request is not meant for us. `local`: the address that the client has reached. */
  checkHost(form: Form, local: string): void {
    if (!this.#answersTo(form.host, local)) {
      throw new Rejection('forbidden', 'The admin API does not answer to this Host.');
    }
  }

  /** Throws a `Rejection` when it comes from a page of another site. */
  checkOrigin(form: Form, local: string): void {
    const origin = single(form.fields, form.names, 'origin');
    if (origin === undefined) return;
    const authority = /^https?:\/\/([^/]+)$/i.exec(origin ?? '')?.[1];
    const host = authority === undefined ? null : readHost(authority);
    if (host === null || !this.#answersTo(host, local)) {
      throw new Rejection('forbidden', 'The admin API takes no requests from pages of this Origin.');
    }
  }

  #answersTo(host: string, local: string): boolean {
    if (this.#listed !== null) return this.#listed.has(host);
    return loopback.has(host) || host === this.#own || host === hostOf(local);
  }
}

const loopback: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** An address as it stands in Host. */
const hostOf = (address: string): string => (isIPv6(address) ? `[${address}]` : address);
