import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { carriesBody, type Form } from '../core/form.ts';
import { type Code, Refusal } from '../errors.ts';
import { plainAddress } from '../wire/connection.ts';

/** The client has gone: there is nobody to answer. */
export class ClientGone extends Error {
  constructor() {
    super('the client has gone');
    this.name = 'ClientGone';
  }
}

/** One request on one of our small listeners, with a form that nothing is wrong with. */
export class Incoming {
  readonly form: Form;
  readonly requestId: string;
  /** IPv4-mapped IPv6 is written as IPv4. */
  readonly peer: string;
  /** The address that the client has reached. */
  readonly local: string;
  /** The connection can be switched to another protocol. */
  readonly upgradable: boolean;
  /** The client speaks TLS. */
  readonly tls: boolean;
  /** Aborted when it should be answered without waiting any longer: the client has gone, or the listener is closing. */
  readonly over: AbortSignal;
  readonly #over = new AbortController();
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #broken: Refusal | null = null;
  #reading: ((error: Error) => void) | null = null;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    form: Form,
    { requestId, upgradable }: { readonly requestId: string; readonly upgradable: boolean },
  ) {
    this.#request = request;
    this.#response = response;
    this.form = form;
    this.requestId = requestId;
    this.upgradable = upgradable;
    this.peer = plainAddress(request.socket.remoteAddress);
    this.local = plainAddress(request.socket.localAddress);
    this.tls = (request.socket as TLSSocket).encrypted === true;
    this.over = this.#over.signal;
    response.once('close', () => this.endWait());
  }

  endWait(): void {
    this.#over.abort();
  }

  get hasBody(): boolean {
    return carriesBody(this.form.framing);
  }

  /** The framing of the body broke, or it came too slowly: no more of it can be read. */
  breakOff(code: Code, detail: string): void {
    this.#broken = new Refusal(code, detail);
    this.#reading?.(this.#broken);
  }

  /** The whole body. Rejects with a `Refusal` when it is over `limit` bytes or broken. */
  async body(limit: number): Promise<Buffer> {
    if (this.#broken !== null) throw this.#broken;
    const { framing, expectsContinue } = this.form;
    const tooLarge = new Refusal('body_too_large', `The body is over ${limit} bytes.`);
    if (framing.kind === 'length' && framing.length > limit) throw tooLarge;
    if (expectsContinue) this.#response.writeContinue();
    const request = this.#request;
    if (request.destroyed && !request.complete) throw new ClientGone();
    const pieces: Buffer[] = [];
    let length = 0;
    return new Promise<Buffer>((resolve, reject) => {
      this.#reading = reject;
      request.on('data', (piece: Buffer) => {
        length += piece.length;
        if (length <= limit) pieces.push(piece);
        else reject(tooLarge);
      });
      request.on('end', () => resolve(Buffer.concat(pieces)));
      request.on('close', () => {
        if (!request.complete) reject(new ClientGone());
      });
    });
  }
}
