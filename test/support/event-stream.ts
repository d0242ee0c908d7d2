import http from 'node:http';

/** A dispatched event, or a block that is none: a comment, an id by itself. */
export interface StreamEvent {
  readonly name: string;
  readonly id: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A client of a stream of server-sent events, as the standard reads them. */
export class EventStream {
  static readonly #open = new Set<EventStream>();
  readonly status: number;
  readonly fields: http.IncomingHttpHeaders;
  readonly events: StreamEvent[] = [];
  /** As a client would send it back. */
  lastId: string | null = null;
  /** Everything that was received. */
  text = '';
  /** How it ended: in order, or broken off. */
  ended: 'whole' | 'broken' | null = null;
  readonly #response: http.IncomingMessage;
  #rest = '';
  #waiters: (() => void)[] = [];

  private constructor(response: http.IncomingMessage) {
    this.#response = response;
    this.status = response.statusCode!;
    this.fields = response.headers;
    EventStream.#open.add(this);
    response.setEncoding('utf8');
    response.on('data', (piece: string) => this.#take(piece));
    response.on('error', () => {});
    response.on('close', () => {
      this.ended = response.complete ? 'whole' : 'broken';
      EventStream.#open.delete(this);
      this.#wake();
    });
  }

  /** Resolves with the head of the answer. */
  static open(
    port: number,
    key: string,
    { query = '', lastId = null }: { readonly query?: string; readonly lastId?: string | null } = {},
  ): Promise<EventStream> {
    const headers = { Authorization: `Bearer ${key}`, ...(lastId !== null && { 'Last-Event-ID': lastId }) };
    return new Promise((resolve, reject) => {
      const request = http.get({ host: '127.0.0.1', port, path: `/v1/events${query}`, headers, agent: false });
      request.on('error', reject);
      request.on('response', response => resolve(new EventStream(response)));
    });
  }

  static leaveAll(): void {
    for (const stream of EventStream.#open) stream.leave();
  }

  leave(): void {
    this.#response.destroy();
  }

  pause(): void {
    this.#response.pause();
  }

  resume(): void {
    this.#response.resume();
  }

  of(name: string): Readonly<Record<string, unknown>>[] {
    return this.events.filter(event => event.name === name).map(({ data }) => data);
  }

  async until(condition: (stream: this) => boolean, what: string, ms = 10_000): Promise<void> {
    const late = Date.now() + ms;
    while (!condition(this)) {
      const left = late - Date.now();
      if (left <= 0) throw new Error(`no ${what} in ${ms} ms; received ${this.text.slice(-500)}`);
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, left);
        this.#waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  #take(piece: string): void {
    this.text += piece;
    this.#rest += piece;
    const blocks = this.#rest.split('\n\n');
    this.#rest = blocks.pop()!;
    for (const block of blocks) this.#dispatch(block);
    this.#wake();
  }

  #dispatch(block: string): void {
    const fields = new Map<string, string>();
    for (const line of block.split('\n')) {
      const colon = line.indexOf(':');
      if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).replace(/^ /, ''));
    }
    const id = fields.get('id') ?? null;
    if (id !== null) this.lastId = id;
    const data = fields.get('data');
    if (data === undefined) return;
    this.events.push({ name: fields.get('event') ?? 'message', id, data: JSON.parse(data) as StreamEvent['data'] });
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }
}
