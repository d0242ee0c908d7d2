import { request } from 'node:http';
import type { Socket } from 'node:net';
import type { Endpoint } from './endpoint.ts';
import type { Endpoints } from './endpoints.ts';
import { UpstreamError } from './faults.ts';
import type { HealthOptions, UpstreamOptions } from './options.ts';

/** Asks every endpoint of an upstream for its health, each on a connection of its own. */
export class HealthChecks {
  readonly #endpoints: Endpoints;
  readonly #options: UpstreamOptions;
  readonly #health: HealthOptions;
  readonly #running = new Set<AbortController>();
  #stopped = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(endpoints: Endpoints, options: UpstreamOptions, health: HealthOptions) {
    this.#endpoints = endpoints;
    this.#options = options;
    this.#health = health;
  }

  start(): void {
    if (this.#timer === null && !this.#stopped) void this.#round();
  }

  stop(): void {
    this.#stopped = true;
    for (const check of this.#running) check.abort(new UpstreamError('other'));
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** All at once; then again after the interval, and a little more, so that processes do not keep in step. */
  async #round(): Promise<void> {
    const { intervalMs } = this.#health;
    this.#timer = setTimeout(() => void this.#round(), intervalMs * (1 + Math.random() / 10)).unref();
    // Names that cannot be resolved are told by requests.
    await this.#endpoints.refresh(intervalMs).catch(() => {});
    if (this.#stopped) return;
    for (const endpoint of this.#endpoints.all) void this.#check(endpoint);
  }

  async #check(endpoint: Endpoint): Promise<void> {
    const check = new AbortController();
    this.#running.add(check);
    const late = setTimeout(() => check.abort(new UpstreamError('head_timeout')), this.#health.timeoutMs);
    let failure: unknown = null;
    try {
      await this.#ask(endpoint, check.signal);
    } catch (error) {
      failure = error;
    }
    clearTimeout(late);
    this.#running.delete(check);
    if (!this.#stopped) this.#endpoints.checked(endpoint, failure);
  }

  /** Rejects unless the endpoint answers in time with a status from 200 to 399. */
  async #ask(endpoint: Endpoint, signal: AbortSignal): Promise<void> {
    const { path, timeoutMs } = this.#health;
    const { host } = this.#options;
    const socket: Socket = await endpoint.dial(timeoutMs, signal);
    try {
      const status = await new Promise<number>((resolve, reject) => {
        const headers = {
          Host: host === 'preserve' || host === 'upstream' ? endpoint.authority : host,
          'User-Agent': 'Postern-Health',
          Connection: 'close',
        };
        const asked = request({ createConnection: () => socket, method: 'GET', path, headers, signal });
        asked.on('response', ({ statusCode = 0 }) => resolve(statusCode));
        asked.on('upgrade', () => reject(new UpstreamError('protocol')));
        asked.on('error', error => reject(signal.aborted ? signal.reason : error));
        asked.end();
      });
      if (status < 200 || status > 399) throw new UpstreamError('status');
    } finally {
      socket.destroy();
    }
  }
}
