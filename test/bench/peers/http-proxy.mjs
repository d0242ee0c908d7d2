// The baseline that many services still run. It judges other bytes than it sends, and CVE-2026-29057's root cause is
// unrepaired in it: here it forwards to a server of the benchmark, and nowhere else.
import http from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../package.json', import.meta.url));
const httpProxy = require('http-proxy');
const [port, target] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const proxy = httpProxy.createProxyServer({ target, agent });
proxy.on('error', (_error, _request, response) => response.writeHead(502).end());
http.createServer((request, response) => proxy.web(request, response)).listen(Number(port), '127.0.0.1');
