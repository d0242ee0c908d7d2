import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { type Code, codes } from '../../src/errors.ts';
import { type Certificate, makeCertificate } from './certificate.ts';
import { type InvariantOptions, Postern, type PosternOptions } from './postern.ts';
import { type Answer, RawClient } from './raw-client.ts';
import { RecordingUpstream } from './recording-upstream.ts';

/** A client of bytes, the whole program, and an upstream that records bytes. */

export interface RigOptions extends Omit<PosternOptions, 'upstream'>, InvariantOptions {
  /** Speak TLS to clients. */
  readonly tls?: boolean;
  /** Speak TLS to the upstream. */
  readonly upstreamTls?: boolean;
}

/** A Host, as every HTTP/1.1 request has one. */
export const H = 'Host: a\r\n';

export class Rig {
  readonly #options: RigOptions;
  readonly upstream: RecordingUpstream = new RecordingUpstream();
  #postern: Postern | null = null;
  #certificate: Certificate | null = null;
  #folder: string | null = null;
  /** Secrets with permission `api`, with `admin`, with none. */
  tA = '';
  tAdmin = '';
  tNone = '';

  constructor(options: RigOptions) {
    this.#options = options;
  }

  get postern(): Postern {
    if (this.#postern === null) throw new Error('not started');
    return this.#postern;
  }

  /** It speaks TLS to clients. */
  get tls(): boolean {
    return this.#options.tls ?? false;
  }

  /** The field that carries `tA`. */
  get A(): string {
    return `Authorization: Bearer ${this.tA}\r\n`;
  }

  async start(): Promise<void> {
    const { tls, upstreamTls, upstreamMembers, proxyMembers, ...options } = this.#options;
    const upstreamMore = upstreamMembers === undefined ? [] : [upstreamMembers];
    const proxyMore = proxyMembers === undefined ? [] : [proxyMembers];
    if (tls || upstreamTls) {
      this.#certificate = makeCertificate();
      this.#folder = mkdtempSync(join(tmpdir(), 'postern-rig-'));
      const [cert, key] = [join(this.#folder, 'cert.pem'), join(this.#folder, 'key.pem')];
      writeFileSync(cert, this.#certificate.cert);
      writeFileSync(key, this.#certificate.key);
      if (tls) proxyMore.push(`tls: { cert: "${cert}", key: "${key}" }`);
      if (upstreamTls) upstreamMore.push(`tls: { ca: "${cert}" }`);
    }
    await this.upstream.listen(0, upstreamTls ? this.#certificate! : undefined);
    this.#postern = await Postern.start({
      ...options,
      upstream: this.upstream.url,
      ...(upstreamMore.length === 0 ? {} : { upstreamMembers: upstreamMore.join(', ') }),
      ...(proxyMore.length === 0 ? {} : { proxyMembers: proxyMore.join(', ') }),
    });
    this.tA = (await this.postern.mint({ permissions: ['api'] })).secret;
    this.tAdmin = (await this.postern.mint({ permissions: ['admin'] })).secret;
    this.tNone = (await this.postern.mint()).secret;
  }

  /** Cuts what the test left open, checks what must always hold, and forgets what the upstream saw. */
  async settle(): Promise<void> {
    await RawClient.closeAll();
    try {
      await this.postern.assertInvariants(this.upstream, this.#options);
    } finally {
      this.upstream.forget();
    }
  }

  async stop(): Promise<void> {
    await this.#postern?.deserted();
    await this.#postern?.stop();
    await this.upstream.close();
    if (this.#folder !== null) rmSync(this.#folder, { recursive: true, force: true });
  }

  open(): Promise<RawClient> {
    const tls = this.#options.tls ? { tls: { ca: this.#certificate!.cert } } : {};
    return RawClient.open(this.postern.port, tls);
  }

  /** Writes bytes on a new connection. */
  async send(bytes: string | Uint8Array): Promise<RawClient> {
    const client = await this.open();
    client.write(bytes);
    return client;
  }

  /** The answer to one request on a connection of its own. */
  async ask(bytes: string | Uint8Array, options: { head?: boolean } = {}): Promise<Answer> {
    const client = await this.send(bytes);
    const answer = await client.answer(options);
    client.destroy();
    return answer;
  }

  /**
   * The request is refused and nothing else happens: this code, an end to the connection, no byte to the upstream,
   * one line in the log, no secret in the answer.
   */
  async refuses(bytes: string | Uint8Array, code: Code, options: { head?: boolean } = {}): Promise<Answer> {
    const before = await this.#mark();
    const client = await this.send(bytes);
    const answer = await this.refused(client, code, options);
    await this.#onlyLine(before, code);
    return answer;
  }

  /** What `refuses` says of the answer, on a connection that has been written to. */
  async refused(client: RawClient, code: Code, options: { head?: boolean } = {}): Promise<Answer> {
    const answer = await client.answer(options);
    this.#expectProblem(answer, code, options.head ?? false);
    expect(answer.get('connection')).toBe('close');
    await client.untilClosed();
    expect(client.text, 'bytes after the answer').toBe('');
    client.destroy();
    return answer;
  }

  /** The request is refused, and nothing reaches the upstream; the connection stays in step, or is closed. */
  async denies(bytes: string | Uint8Array, code: Code, options: { head?: boolean } = {}): Promise<Answer> {
    const before = await this.#mark();
    const client = await this.send(bytes);
    const answer = await client.answer(options);
    this.#expectProblem(answer, code, options.head ?? false);
    await this.#onlyLine(before, code);
    if (answer.get('connection') === 'close') {
      await client.untilClosed();
      expect(client.text, 'bytes after the answer').toBe('');
    } else {
      client.write(`GET /public/in-step HTTP/1.1\r\n${H}\r\n`);
      expect((await client.answer()).status).toBe(200);
      expect(this.upstream.requests.slice(before.requests).map(({ target }) => target)).toEqual(['/public/in-step']);
    }
    client.destroy();
    return answer;
  }

  async #mark() {
    const lines = await this.postern.requestLines();
    return { lines: lines.length, requests: this.upstream.requests.length, bytes: this.upstream.bytes.length };
  }

  async #onlyLine(before: { lines: number; bytes: number }, code: Code): Promise<void> {
    await expect.poll(async () => (await this.postern.requestLines()).length).toBeGreaterThan(before.lines);
    const lines = (await this.postern.requestLines()).slice(before.lines);
    expect(lines.map(line => [line['status'], line['code']])).toEqual([[codes[code].status, code]]);
    expect(this.upstream.bytes.slice(before.bytes), 'bytes at the upstream').toBe('');
  }

  #expectProblem(answer: Answer, code: Code, head: boolean): void {
    expect([answer.status, head ? code : answer.json()['code']]).toEqual([codes[code].status, code]);
    const id = answer.get('x-request-id');
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(answer.get('content-type')).toBe('application/problem+json');
    expect(answer.get('cache-control')).toBe('no-store');
    expect(answer.all('content-length')).toHaveLength(1);
    if (!head) {
      expect(answer.json()['request_id']).toBe(id);
      expect(answer.body.length).toBe(Number(answer.get('content-length')));
    }
    const text = answer.fields.join('\n') + answer.body.toString('latin1');
    for (const secret of this.postern.planted) expect(text.includes(secret), 'a secret in the answer').toBe(false);
    expect(text).not.toMatch(/node:|\.ts\b|at .*:[0-9]+|127\.0\.0\.1|ECONN/);
  }
}

/** A rig for the tests of a file or a `describe`; what must always hold is checked after each of them. */
export function useRig(options: RigOptions = {}): Rig {
  const rig = new Rig(options);
  beforeAll(() => rig.start());
  afterEach(() => rig.settle());
  afterAll(() => rig.stop());
  return rig;
}
