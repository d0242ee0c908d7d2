import * as z from 'zod';
import { filledList } from './notes.ts';
import { hostPortFault } from './store-address.ts';
import { choice, duration, file, flag, text, whole } from './values.ts';

const nodes = () =>
  filledList(
    // Somebody may write a URL with a password there.
    text({ allowed: 'host or host:port, such as redis-1:6379', fault: hostPortFault, secret: true }),
    'a list of at least one host:port',
  );

const secret = () => text({ allowed: 'a password', secret: true }).optional();

/** `store`: where tokens are kept. */
export const store = z.strictObject({
  kind: choice(['embedded', 'redis'])
    .prefault('embedded')
    .meta({ description: 'Where tokens are kept: in a folder of one process, or in a Redis that several share.' }),
  path: file().prefault('./data').meta({
    description:
      'The folder of the embedded store; one process owns it. `POSTERN_STORE_URL`, a folder or a `redis://` address, stands in where the file does not say where the store is. Without a file, paths start at the working folder.',
  }),
  deadline: duration(1).prefault('50ms').meta({ description: 'Longest wait of a request for the store.' }),
  mutation_deadline: duration(1).prefault('5s').meta({ description: 'Longest wait of a change for the store.' }),
  url: text({ allowed: 'redis://[user:password@]host[:port][/database], or rediss:// for TLS', secret: true })
    .optional()
    .meta({ description: 'Where Redis is. One of `url`, `url_file`, `sentinels` and `cluster`.' }),
  url_file: file().optional().meta({ description: 'A file that holds the URL, which may have a password in it.' }),
  sentinels: nodes()
    .optional()
    .meta({ description: 'The sentinels that watch Redis, as `host:port`; port 26379 when it is left out.' }),
  master: text({ allowed: 'up to 128 letters, digits and characters of . _ -', pattern: /^[A-Za-z0-9._-]{1,128}$/ })
    .optional()
    .meta({ description: 'The name that the sentinels know the master by.' }),
  cluster: nodes()
    .optional()
    .meta({ description: 'Some nodes of a Redis cluster, as `host:port`; port 6379 when it is left out.' }),
  username: text({ allowed: 'the name of a user of Redis' })
    .optional()
    .meta({ description: 'The user of Redis behind sentinels and in a cluster. Default: the default user.' }),
  password: secret().meta({ description: "That user's password." }),
  password_file: file().optional().meta({ description: "A file that holds that user's password." }),
  sentinel_username: text({ allowed: 'the name of a user of the sentinels' })
    .optional()
    .meta({ description: 'The user of the sentinels. Default: the default user.' }),
  sentinel_password: secret().meta({ description: "That user's password." }),
  sentinel_password_file: file().optional().meta({ description: "A file that holds that user's password." }),
  database: whole(0, 999).optional().meta({ description: 'The database of Redis behind sentinels. Default: 0.' }),
  tls: flag()
    .optional()
    .meta({ description: 'Whether sentinels, and what they watch, or the nodes of a cluster speak TLS. Default: no.' }),
  ca: file().optional().meta({ description: "Authorities of Redis's certificate. Default: the system's." }),
  prefix: text({
    pattern: /^[A-Za-z0-9._:-]{1,64}$/,
    allowed: '1 to 64 letters, digits, ".", "_", ":" and "-"',
  })
    .prefault('postern:')
    .meta({ description: 'What all keys in Redis begin with.' }),
  confirm: choice(['none', 'majority']).optional().meta({
    description:
      'What has to have a change before it counts: the master, or most of its data nodes. Default: `majority` with `sentinels` or `cluster`, else `none`.',
  }),
  allow_eviction: flag()
    .prefault(false)
    .meta({ description: 'Takes a Redis that may drop keys to make room; tokens and revocations may vanish then.' }),
  encryption_key_file: file().optional().meta({
    description:
      'A file with 32 random bytes in base64: the key under which keys of signatures are kept. Needed by tokens whose requests must be signed.',
  }),
});
