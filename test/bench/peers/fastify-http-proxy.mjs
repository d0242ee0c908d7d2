import { createRequire } from 'node:module';

const require = createRequire(new URL('../package.json', import.meta.url));
const fastify = require('fastify');
const [port, upstream] = process.argv.slice(2);
const server = fastify({ logger: false });
server.register(require('@fastify/http-proxy'), { upstream });
await server.listen({ port: Number(port), host: '127.0.0.1' });
