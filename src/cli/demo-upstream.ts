import { createHash } from 'node:crypto';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An API that cannot protect itself, for the demonstration: a little JSON, an event stream, a WebSocket that echoes. */

const widgets = [
  { id: 1, name: 'gear', price: 12.5 },
  { id: 2, name: 'lever', price: 3 },
];

export async function startDemoUpstream(): Promise<{ readonly url: string; close(): void }> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://demo');
    const widget = widgets.find(({ id }) => pathname === `/widgets/${id}`);
    if (pathname === '/widgets') json(response, 200, widgets);
    else if (widget !== undefined) json(response, 200, { ...widget, asked_by: request.headers['x-postern-token-id'] });
    else if (pathname === '/events') events(response);
    else if (pathname.startsWith('/public')) json(response, 200, { hello: 'everybody' });
    else json(response, 404, { error: 'not found' });
  });
  echoWebSockets(server);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, close: () => server.closeAllConnections() };
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}

/** Three events, half a second apart. */
function events(response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  let count = 0;
  const timer = setInterval(() => {
    response.write(`data: {"tick":${++count}}\n\n`);
    if (count === 3) {
      clearInterval(timer);
      response.end();
    }
  }, 500);
  response.on('close', () => clearInterval(timer));
}

/** Echoes frames of up to 125 bytes, which is what one types by hand. */
function echoWebSockets(server: Server): void {
  server.on('upgrade', (request, socket) => {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.on('error', () => {});
    let bytes = Buffer.alloc(0);
    socket.on('data', (piece: Buffer) => {
      bytes = Buffer.concat([bytes, piece]);
      while (bytes.length >= 6) {
        const length = bytes[1]! & 0x7f;
        if (length > 125) return void socket.destroy();
        if (bytes.length < 6 + length) return;
        const mask = bytes.subarray(2, 6);
        const payload = Buffer.from(bytes.subarray(6, 6 + length).map((byte, i) => byte ^ mask[i % 4]!));
        socket.write(Buffer.concat([Buffer.from([bytes[0]!, length]), payload]));
        if ((bytes[0]! & 0x0f) === 8) socket.end();
        bytes = bytes.subarray(6 + length);
      }
    });
  });
}
