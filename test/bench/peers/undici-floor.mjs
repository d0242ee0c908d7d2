// What Postern stands on, without Postern: Node's HTTP server and undici's pool, forwarding as little as is possible.
import http from 'node:http';
import { Pool } from 'undici';

const [port, upstream] = process.argv.slice(2);
const pool = new Pool(upstream, { connections: 64, pipelining: 1 });
http
  .createServer((request, response) => {
    pool.dispatch(
      { method: request.method, path: request.url, headers: request.rawHeaders },
      {
        onRequestStart() {},
        onResponseStart(controller, status) {
          response.writeHead(status, controller.rawHeaders.map(String));
        },
        onResponseData(_controller, chunk) {
          response.write(chunk);
        },
        onResponseEnd() {
          response.end();
        },
        onResponseError() {
          response.destroy();
        },
      },
    );
  })
  .listen(Number(port), '127.0.0.1');
