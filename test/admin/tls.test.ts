import https from 'node:https';
import type { TLSSocket } from 'node:tls';
import { expect, test } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { keys, openAdmin } from './harness.ts';

/** Asks over TLS; answers with the status and the name in the server's certificate. */
const ask = (port: number, options: https.RequestOptions) =>
  new Promise<{ status: number; name: string }>((resolve, reject) => {
    const request = https.request({
      host: '127.0.0.1',
      servername: 'localhost',
      port,
      path: '/v1/tokens',
      agent: false,
      headers: { authorization: `Bearer ${keys.admin}` },
      ...options,
    });
    request.on('error', reject);
    request.on('response', response => {
      const name = (response.socket as TLSSocket).getPeerCertificate().subject.CN;
      response.resume().on('end', () => resolve({ status: response.statusCode!, name: String(name) }));
    });
    request.end();
  });

test('with a certificate the API speaks TLS alone, and a renewed one is used from the next connection on', async () => {
  const [first, second] = [makeCertificate('first'), makeCertificate('second')];
  const admin = await openAdmin({ options: { tls: { ...first, clientCa: null } } });
  expect(await ask(admin.port, { ca: first.cert })).toEqual({ status: 200, name: 'first' });
  await expect(ask(admin.port, { ca: second.cert })).rejects.toThrow();
  await expect(admin.ask('GET', '/v1/tokens')).rejects.toThrow();
  admin.listener.renewTls({ ...second, clientCa: null });
  expect(await ask(admin.port, { ca: second.cert })).toEqual({ status: 200, name: 'second' });
  await admin.dispose();
});

test('with an authority for clients, only clients that it signed are answered', async () => {
  const [server, client, stranger] = [makeCertificate(), makeCertificate('client'), makeCertificate('stranger')];
  const admin = await openAdmin({ options: { tls: { ...server, clientCa: client.cert } } });
  expect((await ask(admin.port, { ca: server.cert, cert: client.cert, key: client.key })).status).toBe(200);
  await expect(ask(admin.port, { ca: server.cert })).rejects.toThrow();
  await expect(ask(admin.port, { ca: server.cert, cert: stranger.cert, key: stranger.key })).rejects.toThrow();
  await admin.dispose();
});
