import * as z from 'zod';
import { constraintFaults } from '../core/constraint-form.ts';
import { algorithms, limitLimits, periods } from '../core/limit.ts';
import { actionFault, resourceFault } from '../core/permissions.ts';
import { idPattern, namePattern } from '../core/token.ts';
import { filledList, filledMap, later, noted } from './notes.ts';
import { shapeFault } from './shapes.ts';
import { choice, file, flag, instant, text, whole } from './values.ts';

/** `tokens`: their form, the secrets behind their digests, and those that the configuration declares. */

const id = () =>
  text({
    type: 'id',
    allowed: 'an id of up to 64 letters, digits, ".", "_" and "-", which begins with a letter or digit',
    pattern: idPattern,
  });

const pepper = z.strictObject({
  id: id().meta({ description: 'A name for it that is never used again.' }),
  key: text({ allowed: 'a random text of at least 32 bytes', secret: true })
    .optional()
    .meta({ description: 'The pepper. One of `key` and `key_file`.' }),
  key_file: file().optional().meta({ description: 'A file that holds the pepper.' }),
});

const action = () =>
  text({
    type: 'action',
    allowed: 'an action such as widgets:read, widgets:* or *',
    fault: actionFault,
  });

const grant = z.strictObject({
  resources: filledList(
    text({ type: 'resource', allowed: 'a resource such as db/sales, db/* or *', fault: resourceFault }),
    'a list with at least one resource',
  ).meta({ description: 'What its actions are done to. `*` alone is everything that the owner owns.' }),
  actions: filledMap(action(), flag(), 'a map with at least one action').meta({
    description: 'Whether it permits an action. The last entry that names one decides.',
  }),
});

const listOf = (what: string, allowed: string, fault: (value: string) => string | null) =>
  filledList(text({ type: what, allowed, fault }), `a list of at least one ${what}`).optional();

const mapOf = (name: z.ZodType<string, string>, value: z.ZodType<string, string>, filled: string) =>
  noted(z.record(name, value), { filled }).optional();

/** As in the admin API, but for signatures: their keys are sealed in the store. */
const constraints = z.strictObject({
  networks: listOf('network', 'an address, or a network such as 10.0.0.0/8', constraintFaults.network).meta({
    description: 'Where the client is.',
  }),
  methods: listOf('method', 'a method such as GET', constraintFaults.method).meta({
    description: 'Methods of the request.',
  }),
  paths: listOf('path pattern', 'a path such as /widgets/{id} or /db/**', constraintFaults.path).meta({
    description: 'Patterns, as those of routes, one of which the path matches.',
  }),
  params: mapOf(
    text({ allowed: 'the name of a parameter', fault: constraintFaults.paramName }),
    text({ allowed: 'printable text', fault: constraintFaults.paramValue }),
    'a map of at least one parameter and its value',
  ).meta({ description: 'Parameters, and what each of them is.' }),
  origins: listOf('origin', 'scheme://host[:port] as browsers send it', constraintFaults.origin).meta({
    description: 'Values of the Origin field.',
  }),
  basic: mapOf(
    text({ allowed: 'a user without a colon', fault: constraintFaults.user }),
    text({
      type: 'scrypt hash',
      allowed: 'a PHC string such as $scrypt$ln=15,r=8,p=3$<salt>$<hash>',
      fault: constraintFaults.hash,
      secret: true,
    }),
    'a map of at least one user and the hash of a password',
  ).meta({ description: 'Basic credentials beside the token: users, and the scrypt hash of each password.' }),
});

const limit = z.strictObject({
  name: id().meta({ description: 'Unlike those of the others.' }),
  max: whole(0, limitLimits.units).meta({
    description: 'Units in each window, or that a bucket fills by. 0: nothing passes.',
  }),
  per: choice(periods).meta({ description: 'How long a window is, in UTC, or what `max` fills a bucket in.' }),
  algorithm: choice(algorithms).prefault('window').meta({
    description: 'Windows begin with `max` units; a bucket fills all the time, and not for `lifetime`.',
  }),
  burst: whole(1, limitLimits.units)
    .optional()
    .meta({ description: 'Of a bucket: units that it holds when it is full. Default: `max`.' }),
});

const declaredToken = z.strictObject({
  id: id().meta({ description: 'The id of the token.' }),
  name: text({ allowed: 'printable text of up to 256 characters', pattern: namePattern })
    .optional()
    .meta({ description: 'A name for people. Default: the id.' }),
  secret_sha256: text({
    type: '64 hex digits',
    allowed: '64 hex digits',
    pattern: /^[0-9A-Fa-f]{64}$/,
    secret: true,
  }).meta({
    description: "The secret's SHA-256.",
  }),
  owner: id().optional().meta({ description: 'The account that it belongs to. Default: none.' }),
  state: choice(['enabled', 'disabled']).prefault('enabled').meta({ description: 'Whether it works.' }),
  mode: choice(['enforce', 'shadow'])
    .prefault('enforce')
    .meta({ description: '`shadow`: refusals of its requests are recorded, and they are forwarded all the same.' }),
  permissions: z
    .union([z.array(z.union([action(), grant])), z.record(action(), flag()), choice(['inherit'])])
    .prefault([])
    .meta({
      description:
        'What it may do: a list of grants, or in short a list of actions, or a map of actions to `true` or `false`. The last entry that names an action on a resource decides. `inherit`: what its owner may do.',
    }),
  not_before: instant().optional().meta({ description: 'When it starts working.' }),
  expires_at: instant().optional().meta({ description: 'When it stops working.' }),
  tags: z
    .array(text({ allowed: 'printable text of up to 256 characters', pattern: namePattern }))
    .prefault([])
    .meta({ description: 'For finding it.' }),
  limits: z.array(limit).prefault([]).meta({ description: 'How much it may be used. None: there is no end.' }),
  constraints: constraints
    .optional()
    .meta({ description: 'Where, how and for what it may be used. Default: anywhere, and for anything.' }),
  rewrite: later('What is changed in its requests.'),
  notify: later('Who is told of its use.'),
  extra: later('Free members.'),
});

/** What `declared` holds, and the file of `declared_file`. */
export const declaredTokens = z.array(declaredToken);

export const tokens = z.strictObject({
  prefix: text({ allowed: 'a small letter, then 1 to 15 small letters and digits', pattern: /^[a-z][a-z0-9]{1,15}$/ })
    .prefault('pst')
    .meta({ description: 'What secrets begin with.' }),
  peppers: z
    .array(pepper)
    .prefault([])
    .meta({ description: 'Keys of the digests under which secrets are stored. The first makes, all verify.' }),
  declared: declaredTokens.optional().meta({
    description: 'Tokens that live here instead of in the store; the admin API shows them, and changes none.',
  }),
  declared_file: file()
    .optional()
    .meta({ description: 'A file with a list of declared tokens. One of `declared` and `declared_file`.' }),
  shapes: z
    .array(
      text({
        type: 'regular expression',
        allowed: 'an anchored regular expression such as ^sdpak_[A-Za-z0-9]{44}$',
        fault: shapeFault,
      }),
    )
    .prefault([])
    .meta({ description: 'Other strings than ours that may be looked up at all.' }),
  accept_unkeyed: flag()
    .prefault(false)
    .meta({ description: 'Take secrets that were made before there was a pepper.' }),
});
