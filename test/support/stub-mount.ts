import type { Duplex } from 'node:stream';
import type { TokenApi } from '../../src/config/config.ts';
import { carriesBody, type Form } from '../../src/core/form.ts';
import { StoreUnavailable } from '../../src/errors.ts';
import type { Mount, MountAnswer, MountConnection, MountRequest } from '../../src/ports/mount.ts';

/**
 * Token APIs that do nothing but say what they were asked, at the places where the real ones are: to see what listeners
 * make of them. `?do=` names what goes wrong.
 */
export class StubMount implements Mount {
  readonly api: TokenApi['api'];
  readonly path: string;
  readonly envelope: string;
  readonly connect: Mount['connect'];
  /** Bodies that it was asked about, and requests that it answered. */
  readonly seen = { bodies: [] as string[], requests: [] as MountRequest[] };
  /** Connections that are open. */
  readonly open = new Set<StubConnection>();
  /** Awaited before an answer. */
  held: Promise<void> = Promise.resolve();

  constructor({ api, path, envelope }: TokenApi) {
    this.api = api;
    this.path = path;
    this.envelope = envelope;
    this.connect = api === 'api-tokens' ? request => this.#connect(request) : null;
  }

  claims(form: Form): 'yes' | 'no' | 'form' {
    const at = ['', ...form.target.segments].join('/');
    switch (this.api) {
      case 'access-keys':
        return at === `${this.path}/auth/access-keys` ? 'yes' : 'no';
      case 'api-tokens':
        if (form.websocket) return at === (this.path || '/') ? 'yes' : 'no';
        return at.startsWith(`${this.path}/v1/api-tokens/`) ? 'yes' : 'no';
      case 'access-api':
        if (at !== (this.path || '/')) return 'no';
        if (/(?:^|&)cmd=access\./.test(form.target.query ?? '')) return 'yes';
        return carriesBody(form.framing) && form.fields.includes('application/x-www-form-urlencoded') ? 'form' : 'no';
    }
  }

  claimsForm(_: Form, body: string): boolean {
    this.seen.bodies.push(body);
    return /(?:^|&)cmd=access\./.test(body);
  }

  async answer(request: MountRequest): Promise<MountAnswer> {
    this.seen.requests.push(request);
    await this.held;
    const { form, client, origin } = request;
    const asked = new URLSearchParams(form.target.query ?? '');
    switch (asked.get('do')) {
      case 'guess':
        return { status: 403, fields: ['Content-Type', 'text/plain'], body: 'who?', guessed: true };
      case 'throw':
        throw new Error('a fault of the stub');
      case 'outage':
        throw new StoreUnavailable('gone');
      case 'bytes':
        return { status: 200, fields: ['Content-Type', 'application/msgpack'], body: Uint8Array.of(0, 255, 10, 128) };
      case 'none':
        return { status: 204, fields: [], body: null };
      case 'large':
        return { status: 200, fields: ['Content-Type', 'text/plain'], body: Buffer.alloc(12 * 1024 * 1024, 'x') };
      case 'unread':
        return { status: 200, fields: [], body: 'unread' };
    }
    const body = await request.body(Number(asked.get('limit') ?? 1_000_000));
    if (body === 'too_large') return { status: 413, fields: ['Content-Type', 'text/plain'], body: 'too much' };
    const said = { api: this.api, method: form.method, path: form.target.path, client, origin };
    const text = JSON.stringify({ ...said, body: Buffer.from(body).toString('latin1') });
    return { status: 200, fields: ['Content-Type', 'application/json'], body: text };
  }

  async #connect(request: MountRequest): Promise<MountConnection | MountAnswer> {
    this.seen.requests.push(request);
    await this.held;
    if (request.form.target.query === 'do=refuse') return { status: 403, fields: [], body: 'no' };
    return new StubConnection(this);
  }
}

/** Sends back what it is sent. */
export class StubConnection implements MountConnection {
  readonly fields = ['Sec-WebSocket-Protocol', 'rpc'];
  readonly #mount: StubMount;
  #socket: Duplex | null = null;

  constructor(mount: StubMount) {
    this.#mount = mount;
  }

  run(socket: Duplex, head: Uint8Array): Promise<{ in: number; out: number }> {
    this.#mount.open.add(this);
    this.#socket = socket;
    let bytes = head.length;
    socket.write(head);
    socket.on('data', (piece: Buffer) => {
      bytes += piece.length;
      socket.write(piece);
    });
    socket.on('end', () => socket.end());
    socket.resume();
    return new Promise(resolve => {
      socket.on('close', () => {
        this.#mount.open.delete(this);
        resolve({ in: bytes, out: bytes });
      });
    });
  }

  close(code: number): void {
    this.#socket?.end(Buffer.from([0x88, 0x02, code >> 8, code & 0xff]));
    setTimeout(() => this.#socket?.destroy(), 1000).unref();
  }
}
