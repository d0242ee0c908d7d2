import * as z from 'zod';
import { rateLimitModes } from '../core/rate-limit-fields.ts';
import { identityPrefixFault } from './http.ts';
import { networkFault } from './network.ts';
import { filledList } from './notes.ts';
import { admin, listen } from './schema-listen.ts';
import { credential, forwardHeaders, route, upstreams } from './schema-routes.ts';
import { sessions } from './schema-sessions.ts';
import { store } from './schema-store.ts';
import { tokenApis } from './schema-token-apis.ts';
import { tokens } from './schema-tokens.ts';
import { choice, duration, file, share, sizeOrUnlimited, text, whole } from './values.ts';

/**
 * The one declaration of the configuration: every key with its type, default and meaning. The loader, the JSON Schema
 * for editors and the table of defaults all come from it.
 */

/** What `revocation.bound` must hold three of: a feed read that is worth its round trip. */
export const shortestFeedRead = 100;

const cache = z.strictObject({
  max_entries: whole(1).prefault(100_000).meta({ description: 'Tokens that are remembered.' }),
  ttl: duration(1)
    .prefault('60s')
    .meta({ description: 'An older entry is served and refreshed behind, while the feed of changes is live.' }),
  negative_ttl: duration(1)
    .prefault('5s')
    .meta({ description: 'How long it is remembered that there is no such token.' }),
});

const revocation = z.strictObject({
  bound: duration(3 * shortestFeedRead)
    .prefault('5s')
    .meta({
      description:
        'Longest time until a change of a token holds everywhere. A third of it is the longest read of the feed of changes.',
    }),
});

const snapshot = z.strictObject({
  path: file().meta({ description: 'The folder that it is kept in: one for each process.' }),
  interval: duration(1000).prefault('30s').meta({ description: 'How often it is written.' }),
});

const outage = z.strictObject({
  serve_cached_for: duration(0).prefault(0).meta({
    description:
      'How long known tokens are served when the store does not answer, if that is longer than `revocation.bound`. For as long a revocation may be unknown to a process that is cut off.',
  }),
  limits: choice(['closed', 'open']).prefault('closed').meta({
    description:
      'What happens to requests that a limit has no units for here while the store does not answer: 503, or they pass, are counted, and booked later.',
  }),
  snapshot: snapshot.optional().meta({
    description:
      'Known tokens on disk, for a start without the store; it is used until it is as old as cached tokens may be. Needs a pepper.',
  }),
});

const headers = z.strictObject({
  identity_prefix: text({
    allowed: 'the beginning of a field name that ends in -, such as X-Postern-',
    fault: identityPrefixFault,
  })
    .prefault('X-Postern-')
    .meta({
      description: "What the fields that tell the upstream who asks begin with. A client's own such fields are cut.",
    }),
  realm: text({ allowed: 'up to 64 printable ASCII characters, no quote or backslash', pattern: /^[ !#-[\]-~]{1,64}$/ })
    .prefault('postern')
    .meta({ description: 'The realm of challenges.' }),
  rate_limit: choice(rateLimitModes).prefault('draft').meta({
    description:
      'Which fields tell what is left of a limit: `RateLimit` and `RateLimit-Policy`, `X-RateLimit-*`, both, or none.',
  }),
});

const guard = z.strictObject({
  failures: whole(0).prefault(20).meta({
    description: 'Failed credentials of one client network (/32, /64), after which failing ones get 429; 0 is off.',
  }),
  per: duration(1).prefault('10s').meta({ description: 'The time in which they are counted.' }),
});

const shutdown = z.strictObject({
  delay: duration(0)
    .prefault('5s')
    .meta({ description: 'From the signal to the end of listening; `/readyz` is 503 meanwhile.' }),
  grace: duration(0).prefault('20s').meta({ description: 'From then until streams and requests still open are cut.' }),
});

const log = z.strictObject({
  level: choice(['debug', 'info', 'warn', 'error'])
    .prefault('info')
    .meta({ description: 'The least level that is written.' }),
  access: choice(['all', 'refused', 'none']).prefault('all').meta({ description: 'Requests that get a line.' }),
  sample: share().prefault(1).meta({ description: 'The share of successful requests that get one.' }),
});

const metrics = z.strictObject({
  top_tokens: whole(0, 1000, [0]).prefault(0).meta({ description: 'Tokens that get a series of their own.' }),
});

export const fileSchema = z.strictObject({
  listen: listen.prefault({}).meta({ description: 'Where Postern listens.' }),
  admin: admin.prefault({}).meta({ description: 'The admin API.' }),
  upstreams: upstreams.meta({ description: 'The APIs that are protected, by name.' }),
  credentials: filledList(credential, 'a list of at least one place; left out: Bearer in authorization')
    .prefault([{ header: 'authorization', scheme: 'Bearer' }])
    .meta({ description: 'Where a token may stand. Two tokens in one request, even equal ones, are refused.' }),
  routes: filledList(route, 'a list of at least one route').meta({
    description: 'What is forwarded where, and what it needs. No route is 404.',
  }),
  forward_headers: forwardHeaders.prefault([]).meta({
    description: 'Client fields that are forwarded although they are dropped by default, for routes that do not say.',
  }),
  max_body: sizeOrUnlimited()
    .prefault('unlimited')
    .meta({ description: 'Largest request body, for routes that do not say.' }),
  store: store.prefault({}).meta({ description: 'The token store.' }),
  tokens: tokens.prefault({}).meta({ description: 'Tokens.' }),
  cache: cache.prefault({}).meta({ description: 'The cache of tokens.' }),
  revocation: revocation.prefault({}).meta({ description: 'How soon a change holds.' }),
  outage: outage.prefault({}).meta({ description: 'What holds while the store is away.' }),
  limits: z
    .strictObject({
      wait: duration(0)
        .prefault('1s')
        .meta({ description: 'Longest wait for units that other processes hold and do not use; then 503.' }),
    })
    .prefault({})
    .meta({ description: 'Limits of use.' }),
  headers: headers.prefault({}).meta({ description: 'Fields that Postern sets.' }),
  trusted_proxies: z
    .array(
      text({ type: 'address or network', allowed: 'an address, or a network such as 10.0.0.0/8', fault: networkFault }),
    )
    .prefault([])
    .meta({ description: 'Whose Forwarded, X-Forwarded-* and X-Original-* are believed.' }),
  guard: guard.prefault({}).meta({ description: 'Against guessing.' }),
  shutdown: shutdown.prefault({}).meta({ description: 'How the process ends.' }),
  log: log.prefault({}).meta({ description: 'Log lines on standard output.' }),
  metrics: metrics.prefault({}).meta({ description: 'Metrics.' }),
  token_apis: tokenApis.prefault([]).meta({
    description: 'Token APIs that clients of other systems speak, each at a path of its own.',
  }),
  sessions: sessions.prefault({}).meta({ description: 'Who manages through token APIs.' }),
});

export type File = z.output<typeof fileSchema>;
