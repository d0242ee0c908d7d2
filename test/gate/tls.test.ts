import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { H, useRig } from '../support/rig.ts';

/** TLS on either side. */

const get = (target: string, fields = '') => `GET ${target} HTTP/1.1\r\n${H}${fields}\r\n`;

describe('a listener and an upstream that speak TLS', () => {
  const rig = useRig({ tls: true, upstreamTls: true });

  test('serve as in the clear, and say so', async () => {
    const client = await rig.open();
    client.write(get('/api/x', rig.A));
    expect((await client.answer()).body.toString()).toBe('ok');
    client.write(get('/api/x'));
    expect((await client.answer()).status).toBe(401);
    const { only } = rig.upstream;
    expect([only.get('x-forwarded-proto'), only.get('forwarded')]).toEqual([
      'https',
      'for=127.0.0.1;proto=https;host="a"',
    ]);
  });
  test('use a connection to the upstream again, whatever Host clients name', async () => {
    for (const host of ['a', 'localhost', 'evil.example', '127.0.0.1']) {
      const answer = await rig.ask(`GET /public/x HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      expect(answer.status).toBe(200);
    }
    expect(new Set(rig.upstream.requests.map(({ connection }) => connection)).size).toBe(1);
  });
  test('a body goes through both', async () => {
    const size = 1 << 20;
    const client = await rig.send(`POST /public/x HTTP/1.1\r\n${H}Content-Length: ${size}\r\n\r\n${'x'.repeat(size)}`);
    expect((await client.answer()).status).toBe(200);
    expect(rig.upstream.only.body).toHaveLength(size);
  });
  test('only HTTP/1.1 is offered', async () => {
    const chosen = await new Promise(resolve => {
      const socket = connectTls(
        { port: rig.postern.port, rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'] },
        () => {
          resolve(socket.alpnProtocol);
          socket.destroy();
        },
      );
    });
    expect(chosen).toBe('http/1.1');
  });
  test('old versions of TLS, and no TLS at all, come no further than the handshake', async () => {
    const rejected = () => rig.postern.metric('postern_connections_rejected_total{reason="tls"}');
    const before = await rejected();
    const plain = await RawClient.open(rig.postern.port);
    plain.write(get('/public/x'));
    await plain.untilClosed();
    expect(plain.text).not.toContain('HTTP/1.1');
    const old = connectTls({
      port: rig.postern.port,
      rejectUnauthorized: false,
      maxVersion: 'TLSv1.1',
      minVersion: 'TLSv1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    const failure = await new Promise(resolve => old.on('error', resolve).on('secureConnect', () => resolve(null)));
    expect(failure).toMatchObject({ code: expect.stringMatching(/ALERT|PROTOCOL/) });
    await expect.poll(rejected).toBe(before + 2);
    expect(rig.upstream.bytes).toBe('');
  });
});

describe('the name of an upstream is verified', () => {
  const cases: Record<
    string,
    [certificate: () => { cert: string; key: string }, members: (ca: string) => string, status: number]
  > = {
    'a certificate that nobody signed for us': [() => makeCertificate(), () => '', 502],
    'the authority that signed it': [() => makeCertificate(), ca => `tls: { ca: "${ca}" }`, 200],
    'another name than the certificate’s': [
      () => makeCertificate(),
      ca => `tls: { ca: "${ca}", server_name: other.example }`,
      502,
    ],
  };
  test.each(Object.entries(cases))('%s', async (_, [certificate, members, status]) => {
    const folder = await mkdtemp(join(tmpdir(), 'postern-tls-test-'));
    const made = certificate();
    const ca = join(folder, 'ca.pem');
    writeFileSync(ca, made.cert);
    const upstream = await new RecordingUpstream().listen(0, made);
    const tls = members(ca);
    const postern = await Postern.start({
      upstream: upstream.url,
      routes: '\n  - { path: /**, access: public }',
      ...(tls === '' ? {} : { upstreamMembers: tls }),
    });
    try {
      const client = await RawClient.open(postern.port);
      // A client's Host never stands in for the name that was configured.
      client.write('GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n');
      const answer = await client.answer();
      expect(answer.status).toBe(status);
      if (status === 502) {
        expect(upstream.bytes).toBe('');
        expect((await postern.requestLines()).at(-1)).toMatchObject({ fault: 'tls' });
      }
      await RawClient.closeAll();
      await postern.assertInvariants(upstream);
    } finally {
      await postern.stop();
      await upstream.close();
      await rm(folder, { recursive: true });
    }
  });
});

describe('client certificates', () => {
  test('are asked for where an authority is configured, and nobody without one gets as far as HTTP', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'postern-tls-test-'));
    const write = (name: string, text: string) => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const [ours, theirs, other] = [makeCertificate(), makeCertificate('client'), makeCertificate('stranger')];
    const tls = `tls: { cert: "${write('cert.pem', ours.cert)}", key: "${write('key.pem', ours.key)}", client_ca: "${write('ca.pem', theirs.cert)}" }`;
    const upstream = await new RecordingUpstream().listen();
    const postern = await Postern.start({ upstream: upstream.url, proxyMembers: tls });
    const ask = (certificate: { cert: string; key: string } | null) =>
      new Promise<string>(resolve => {
        const socket = connectTls({ port: postern.port, servername: 'localhost', ca: ours.cert, ...certificate });
        let text = '';
        socket.on('data', piece => {
          text += piece.toString('latin1');
        });
        socket.on('error', () => resolve(text));
        socket.on('close', () => resolve(text));
        socket.on('secureConnect', () => socket.write(get('/public/x', 'Connection: close\r\n')));
      });
    try {
      expect(readFileSync(join(folder, 'ca.pem'), 'utf8')).toContain('BEGIN CERTIFICATE');
      expect(await ask(theirs)).toMatch(/^HTTP\/1\.1 200 /);
      expect(await ask(other)).toBe('');
      expect(await ask(null)).toBe('');
      expect(upstream.requests).toHaveLength(1);
      await postern.assertInvariants(upstream);
    } finally {
      await postern.stop();
      await upstream.close();
      await rm(folder, { recursive: true });
    }
  });
});
