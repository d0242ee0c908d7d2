import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One question that the legacy system was asked. */
export interface Question {
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingMessage['headers'];
}

type Script = (response: ServerResponse, request: IncomingMessage) => void;

/** A system that owns its sessions: it answers as it is told to, and remembers what it was asked. */
export class LegacySystem {
  readonly asked: Question[] = [];
  /** Most questions that it had at a time. */
  peak = 0;
  /** Where the questions come from. */
  readonly connections: Set<object> = new Set();
  script: Script = response => response.writeHead(401).end();
  readonly #server = createServer((request, response) => {
    const { method = '', url = '', headers } = request;
    this.asked.push({ method, target: url, headers });
    this.#open++;
    this.peak = Math.max(this.peak, this.#open);
    response.on('close', () => this.#open--);
    this.script(response, request);
  });
  #open = 0;

  async listen(): Promise<void> {
    this.#server.on('connection', socket => this.connections.add(socket));
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Answers every question so. */
  answers(status: number, body: unknown, fields: Record<string, string> = {}): void {
    const text = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
    this.script = response => response.writeHead(status, fields).end(text);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>(resolve => this.#server.close(() => resolve()));
  }
}
