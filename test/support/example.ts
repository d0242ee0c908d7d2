import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { Program, root } from './program.ts';
import { RedisServer } from './redis.ts';
import { Served } from './served.ts';

/** A request as the system behind an example has it. */
export interface Came {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Habits {
  /** The session that somebody shows who asks at `/whoami`. */
  session(came: Came): string | undefined;
  /** What is kept of a request that came through. */
  noted(came: Came): string;
  /** What such a request is answered. */
  readonly answer: unknown;
}

/** The system that an example stands in front of, as small as can be: whose a session is, and one answer to everything. */
export class ExampleSystem {
  /** What is said of sessions. */
  readonly sessions = new Map<string, object>();
  /** What came through. */
  readonly served: string[] = [];
  /** How often it was asked whose a session is. */
  asked = 0;
  away = false;
  readonly #habits: Habits;
  readonly #server: Server = createServer(async (request, response) => {
    const { method = '', url = '', headers } = request;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const answer = this.#answer({ method, url: new URL(url, 'http://example'), headers, body });
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
  });

  constructor(habits: Habits) {
    this.#habits = habits;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #answer(came: Came): { readonly status: number; readonly body: unknown } {
    const { session, noted, answer } = this.#habits;
    if (came.url.pathname !== '/whoami') {
      this.served.push(noted(came));
      return { status: 200, body: answer };
    }
    this.asked++;
    if (this.away) return { status: 500, body: {} };
    const found = this.sessions.get(session(came) ?? '');
    return found === undefined ? { status: 401, body: {} } : { status: 200, body: found };
  }
}

/** Milliseconds within which a revocation holds everywhere. */
export const boundMs = 5000;

export const storeKinds = ['embedded', 'redis'] as const;

/** An example as it is shipped, but for the address of the system, and where it keeps its tokens. */
export class Example {
  readonly #system: ExampleSystem;
  readonly #config: string;
  readonly #adminKey: string | null;

  private constructor(system: ExampleSystem, config: string, adminKey: string | null) {
    this.#system = system;
    this.#config = config;
    this.#adminKey = adminKey;
  }

  static async open(name: string, system: ExampleSystem, kind: (typeof storeKinds)[number]): Promise<Example> {
    await system.listen();
    const shipped = readFileSync(path.join(root, `config/examples/${name}.yaml`), 'utf8');
    const moved = shipped.replaceAll(/http:\/\/127\.0\.0\.1:[0-9]+/g, system.url);
    const config = `${moved}\nrevocation: { bound: ${boundMs}ms }\n`;
    if (kind === 'embedded') {
      return new Example(system, `${config}store: { kind: embedded, path: ./data, deadline: 5s }\n`, null);
    }
    const { endpoint } = await RedisServer.start({ persistent: true });
    const adminKey = randomBytes(32).toString('hex');
    const shared = `
store: { kind: redis, url: "redis://127.0.0.1:${endpoint.port}/1", deadline: 5s, mutation_deadline: 10s }
admin: { keys: [{ name: ops, role: admin, key: "${adminKey}" }] }
tokens: { peppers: [{ id: p1, key: "${randomBytes(32).toString('hex')}" }] }
`;
    return new Example(system, config + shared, adminKey);
  }

  /** A process of it; in the folder of an earlier one it starts on that one's store. */
  async start(folder?: string): Promise<Served> {
    const started = await Served.start({ config: this.#config, ...(folder !== undefined && { folder }) });
    if (this.#adminKey !== null) started.adminKey = this.#adminKey;
    return started;
  }

  /** The same process anew. */
  async restart(served: Served): Promise<Served> {
    await served.stop({ keep: true });
    return this.start(served.folder);
  }

  async close(): Promise<void> {
    await Program.killAll();
    await RedisServer.stopAll();
    this.#system.close();
  }
}
