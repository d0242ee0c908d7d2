import { Agent, createServer, request, type Server } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

/** One request. What the upstream saw of it counts, not what its client was told: that may have been lost. */
export interface Strike {
  readonly place: number;
  readonly secret: string;
  /** Wall milliseconds before a byte of it was sent: it was judged later than that. */
  readonly sent: number;
  /** 0 while there is no answer, and when there was none. */
  status: number;
  admitted: boolean;
}

/** Sends secrets to several places again and again, whether they answer or not, and is the upstream behind them. */
export class Hammer {
  readonly #everyMs: number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
  readonly #server: Server;
  #strikes: Strike[] = [];
  #base = 0;
  #waiting = new Set<Promise<void>>();

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
    this.#server = createServer((incoming, answer) => {
      const strike = this.#strikes[Number(incoming.url!.slice('/api/'.length)) - this.#base];
      if (strike !== undefined) strike.admitted = true;
      answer.end('ok');
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  /** Sends each secret to each port until `over`; resolves with all of it when everything has come to an end. */
  async strike(ports: () => readonly number[], secrets: readonly string[], over: Promise<unknown>): Promise<Strike[]> {
    let striking = true;
    const end = (): void => {
      striking = false;
    };
    over.then(end, end);
    while (striking) {
      for (const [place, port] of ports().entries()) for (const secret of secrets) this.#send(place, port, secret);
      await pause(this.#everyMs);
    }
    await over;
    // An admission that is still on its way is one, too.
    await Promise.all(this.#waiting);
    const all = this.#strikes;
    this.#base += all.length;
    this.#strikes = [];
    return all;
  }

  close(): void {
    this.#agent.destroy();
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #send(place: number, port: number, secret: string): void {
    const strike: Strike = { place, secret, sent: Date.now(), status: 0, admitted: false };
    const number = this.#base + this.#strikes.push(strike) - 1;
    const done = new Promise<void>(resolve => {
      const outgoing = request(
        {
          agent: this.#agent,
          host: '127.0.0.1',
          port,
          path: `/api/${number}`,
          headers: { Authorization: `Bearer ${secret}` },
        },
        answer => {
          strike.status = answer.statusCode!;
          answer.resume().on('close', resolve);
        },
      );
      // Whoever was killed answers nothing.
      outgoing.on('error', () => resolve()).end();
    });
    this.#waiting.add(done);
    void done.then(() => this.#waiting.delete(done));
  }
}
