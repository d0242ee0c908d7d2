import http from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../package.json', import.meta.url));
const [port, base] = process.argv.slice(2);
const { proxy } = require('fast-proxy')({ base });
http.createServer((request, response) => proxy(request, response, request.url, {})).listen(Number(port), '127.0.0.1');
