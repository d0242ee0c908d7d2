import * as z from 'zod';
import { hostFault, readEndpoint } from './network.ts';
import { later, withShorthand } from './notes.ts';
import { duration, file, flag, instant, text, whole } from './values.ts';

/** `listen` and `admin`: where Postern listens, and who may manage it. */

const address = () =>
  text({
    type: 'address',
    allowed: '":8080" for every address family, "127.0.0.1:8080", "[::1]:8080" or "localhost:8080"',
    fault: value => (readEndpoint(value) === null ? 'is no address and port' : null),
  });

const listenerTls = z.strictObject({
  cert: file().meta({ description: 'Certificate chain in PEM. Read again when the file changes.' }),
  key: file().meta({ description: "The certificate's private key in PEM. Read again when the file changes." }),
  client_ca: file().optional().meta({
    description:
      'Certificate authorities in PEM. When set, clients must present a certificate that one of them signed.',
  }),
});

const common = (defaultAddress: string) => ({
  address: address().prefault(defaultAddress).meta({ description: 'Where to listen.' }),
  tls: listenerTls.optional().meta({ description: 'Speak TLS.' }),
  insecure: flag()
    .prefault(false)
    .meta({ description: 'Serve the admin API without TLS on an address other than loopback. Others need no leave.' }),
});

const proxyAddress = ':8080';

const proxyListener = z.strictObject({
  ...common(proxyAddress),
  head_timeout: duration(1).prefault('10s').meta({ description: 'Longest time until a request head is complete.' }),
  body_timeout: duration(1).prefault('30s').meta({ description: 'Longest silence of a client within a request body.' }),
  keep_alive: duration(1).prefault('75s').meta({ description: 'How long an idle connection is kept open.' }),
  max_connections: whole(1).prefault(10_000).meta({ description: 'Client connections open at a time.' }),
  reuse_port: flag().prefault(false).meta({
    description:
      'Share the port with other processes of the same user that say so too; the system divides connections.',
  }),
});

const otherListener = (defaultAddress: string, description: string) =>
  withShorthand(address(), z.strictObject(common(defaultAddress)), 'address')
    .prefault(defaultAddress)
    .meta({ description });

export const listen = z.strictObject({
  proxy: withShorthand(address(), proxyListener, 'address')
    .prefault(proxyAddress)
    .meta({ description: 'The protected traffic. An address, or a map.' }),
  admin: otherListener('127.0.0.1:8081', 'The admin API. An address, or a map.'),
  telemetry: otherListener(':9464', 'Metrics and health. An address, or a map.'),
  decision: later('Decisions for other proxies over HTTP.'),
  grpc: later('Decisions for Envoy over gRPC.'),
});

const rolePattern = /^(?:admin|read|owner:[A-Za-z0-9][A-Za-z0-9._-]{0,63})$/;

/** An account need not exist: it may come later, and until then the key may do nothing. `verify` is known. */
const role = () =>
  text({
    type: '`admin`, `read`, `owner:<account>`',
    allowed: 'admin, read or owner:<account>',
    pattern: rolePattern,
    unbuilt: '`verify`',
    fault: value => (value === 'verify' ? 'is not supported yet' : rolePattern.test(value) ? null : 'is no role'),
  });

const adminKey = z.strictObject({
  name: text({
    allowed: 'a name of up to 64 letters, digits, ".", "_" and "-"',
    pattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
  }).meta({
    description: 'Who the audit trail says it was.',
  }),
  role: role().meta({
    description:
      'What the key may do: everything, only read, or manage the tokens of one account, with no more rights than that account has.',
  }),
  key: text({ allowed: 'a random text of at least 32 characters', secret: true })
    .optional()
    .meta({ description: 'The key. One of `key`, `key_file` and `key_sha256`.' }),
  key_file: file().optional().meta({ description: 'A file that holds the key.' }),
  key_sha256: text({
    type: '64 hex digits',
    allowed: '64 hex digits',
    pattern: /^[0-9A-Fa-f]{64}$/,
    secret: true,
  })
    .optional()
    .meta({ description: "The key's SHA-256." }),
  expires_at: instant().optional().meta({ description: 'When the key stops working.' }),
});

export const admin = z.strictObject({
  keys: z.array(adminKey).prefault([]).meta({
    description:
      'Who may use the admin API. Without any, the first start with an embedded store makes one and writes it to `admin.key` in its folder.',
  }),
  hosts: z
    .array(
      text({
        type: 'host',
        allowed: 'a host name or address, without port',
        fault: value => (value.startsWith('*') ? 'has a *' : hostFault(value)),
      }),
    )
    .optional()
    .meta({
      description:
        "Host values that the admin API answers to, on any port. Default: loopback names and the listener's address.",
    }),
});
