import * as z from 'zod';
import { readHost } from '../core/form.ts';
import { limitLimits } from '../core/limit.ts';
import { readPattern } from '../core/path-pattern.ts';
import { actionTemplateFault, readCommand, resourceTemplateFault } from '../core/rule.ts';
import { allowances } from '../core/target.ts';
import { credentialFieldFault, forwardFieldFault, isToken, methodFault } from './http.ts';
import { corsOriginFault, hostFault, upstreamFault } from './network.ts';
import { filledList, noted } from './notes.ts';
import { choice, duration, file, flag, size, sizeOrUnlimited, text, whole } from './values.ts';

/** `upstreams`, `credentials`, `routes`: what is protected, and how. */

export const nameForm = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const name = () => text({ allowed: 'a name of up to 64 letters, digits, ".", "_" and "-"', pattern: nameForm });

const upstreamUrl = () =>
  text({
    type: 'URL',
    allowed: 'http://HOST:PORT or https://HOST:PORT, and nothing after it',
    fault: upstreamFault,
    // It may hold a password, which is one of the things it is refused for.
    secret: true,
  });

const upstreamTls = z.strictObject({
  ca: file().optional().meta({ description: "Certificate authorities in PEM, instead of the system's." }),
  cert: file().optional().meta({ description: 'Client certificate in PEM.' }),
  key: file().optional().meta({ description: "The client certificate's private key in PEM." }),
  server_name: text({
    type: 'host',
    allowed: 'a host name or address',
    fault: value => (value.startsWith('*') ? 'has a *' : hostFault(value)),
  })
    .optional()
    .meta({ description: "Name that is sent and verified. Default: the URL's host, never the client's Host." }),
});

const queue = z.strictObject({
  size: whole(0).prefault(8192).meta({ description: 'Requests that wait for a connection; beyond it 503.' }),
  timeout: duration(1).prefault('5s').meta({ description: 'Longest wait; after it 503.' }),
});

const health = z.strictObject({
  path: text({
    type: 'path',
    allowed: 'a path such as /healthz',
    pattern: /^\/[!-~]*$/,
    fault: value =>
      !value.startsWith('/')
        ? 'does not begin with /'
        : value.includes('#')
          ? 'has a fragment'
          : /^[!-~]+$/.test(value)
            ? null
            : 'has white space, a control character or one beyond ASCII',
  }).meta({ description: 'What is asked for, with GET. A status from 200 to 399 passes.' }),
  interval: duration(100).prefault('5s').meta({ description: 'From one check of an address to the next.' }),
  timeout: duration(1)
    .optional()
    .meta({ description: 'Longest time to connect and answer. Default: the interval, at most 2s.' }),
  rise: whole(1, 100).prefault(2).meta({ description: 'Checks in a row that pass until an address is healthy again.' }),
  fall: whole(1, 100)
    .prefault(3)
    .meta({ description: 'Checks in a row that fail until an address is not healthy. The very first decides alone.' }),
});

const upstream = z.strictObject({
  url: z.union([upstreamUrl(), filledList(upstreamUrl(), 'a list of at least one URL')]).meta({
    description:
      'Where it is. Of a list, and of all addresses that a name resolves to, the least-loaded healthy one takes a request.',
  }),
  host: text({
    type: '`preserve`, `upstream` or a host',
    allowed: "preserve (the client's), upstream (the URL's) or a host name",
    fault: value => (readHost(value) === null ? 'is no host' : null),
  })
    .prefault('preserve')
    .meta({ description: "The Host that is sent: the client's, the URL's, or this one." }),
  tls: upstreamTls.optional().meta({ description: 'For https URLs.' }),
  connect_timeout: duration(1).prefault('1s').meta({ description: 'Longest time to connect, TLS included.' }),
  response_timeout: duration(0)
    .prefault('30s')
    .meta({ description: 'Longest time from the request to the response head; 0 for never.' }),
  idle_timeout: duration(0)
    .prefault('5m')
    .meta({ description: 'Longest silence between two pieces of a body; 0 for never.' }),
  stream_idle_timeout: duration(0)
    .prefault(0)
    .meta({ description: 'Longest silence of an event stream or upgraded connection; 0 for never.' }),
  max_connections: whole(1).prefault(1024).meta({ description: 'Connections open at a time, to all addresses.' }),
  max_streams: whole(0)
    .prefault(10_000)
    .meta({ description: 'Upgraded connections and event streams open at a time, beyond `max_connections`.' }),
  queue: queue.prefault({}).meta({ description: 'Requests that wait for a connection.' }),
  health: health.optional().meta({
    description: 'Active checks of every address. Default: none; only requests that fail tell.',
  }),
});

export const upstreams = noted(z.record(name(), upstream), { filled: 'a map of at least one upstream by its name' });

export const credential = z.strictObject({
  header: text({ type: 'field name', allowed: 'the name of a field such as x-api-key', fault: credentialFieldFault })
    .optional()
    .meta({ description: 'A header field that carries the token.' }),
  scheme: text({
    allowed: 'the name of a scheme such as Bearer',
    fault: value => (isToken(value) ? null : 'is no name of a scheme'),
  })
    .optional()
    .meta({
      description: 'The scheme that stands before the token, with `header`. Without it the whole value is the token.',
    }),
  query: text({ allowed: 'the name of a query parameter', pattern: /^[A-Za-z0-9._~-]+$/ })
    .optional()
    .meta({ description: 'A query parameter that carries the token.' }),
  cookie: text({ allowed: 'the name of a cookie', fault: value => (isToken(value) ? null : 'is no name of a cookie') })
    .optional()
    .meta({ description: 'A cookie that carries the token.' }),
  websocket_protocol: text({
    allowed: 'the beginning of a subprotocol such as "token."',
    fault: value => (isToken(value) ? null : 'cannot begin a subprotocol'),
  })
    .optional()
    .meta({
      description:
        'The offered WebSocket subprotocol with this beginning carries the token; it is removed, never echoed.',
    }),
  form: text({ allowed: 'the name of a member of a body', pattern: /^[A-Za-z0-9._~-]+$/ })
    .optional()
    .meta({
      description:
        'A member of an urlencoded or JSON body that carries the token, on routes with `inspect_body`; it stays in the body.',
    }),
});

const action = () =>
  text({
    type: 'action',
    allowed: 'an action such as widgets:read or db.{action}',
    fault: actionTemplateFault,
  });

const actions = () => filledList(action(), 'a list of at least one action');

const command = () =>
  text({
    allowed: 'up to 256 characters of a value',
    fault: value => (value.length > 256 ? 'is longer than 256 characters' : value.includes('*') ? 'has a *' : null),
  });

const mapped = () =>
  text({
    type: 'action',
    allowed: 'an action such as db.update, or the part of one that stands in require; " on *" may follow',
    // Whether it makes an action is seen where it is put in.
    fault: value => (/[{}]/.test(value) ? 'has a brace' : readCommand(value).action.includes('*') ? 'has a *' : null),
  });

const anyOf = z.strictObject({ any: actions().meta({ description: 'Actions of which the token needs one.' }) });

const cors = z.strictObject({
  origins: filledList(
    text({
      type: 'origin',
      allowed: 'scheme://host[:port] as browsers send it, or "*"',
      fault: corsOriginFault,
    }),
    'a list of at least one origin',
  ).meta({ description: 'Origins whose pages may read answers.' }),
  preflight: choice(['refuse', 'forward', 'answer']).prefault('refuse').meta({
    description: 'What happens to a preflight: judged like any request, sent to the upstream, or answered here.',
  }),
});

export const forwardHeaders = z.array(
  text({
    type: 'field name',
    allowed: 'the exact name of a field such as x-envoy-attempt-count',
    fault: forwardFieldFault,
  }),
);

const units = (least: number) => whole(least, limitLimits.units);

const reservedCost = z.strictObject({
  reserve: units(1).meta({ description: 'Units that are taken at first; what was not used of them comes back.' }),
  response_header: text({
    type: 'field name',
    allowed: 'the name of a field such as x-cost',
    fault: value => (isToken(value) ? null : 'is no name of a field'),
  }).meta({ description: 'The field of the response that says how many were used, as a whole number.' }),
});

export const route = z.strictObject({
  path: text({
    type: 'pattern',
    allowed: 'a path such as /widgets/{id} or /public/**',
    fault: value => {
      const reading = readPattern(value);
      return reading.ok ? null : `is no pattern: ${reading.why}`;
    },
  }).meta({
    description:
      '`{name}` is one segment or a part of one, `**` at the end is the rest. Literal goes over `a{x}b` over `{x}` over `**`.',
  }),
  methods: filledList(
    text({ type: 'method', allowed: 'a method in upper case, not CONNECT or TRACE', fault: methodFault }),
    'a list of at least one method',
  )
    .optional()
    .meta({ description: 'Exactly these; HEAD is not implied. Default: every method.' }),
  hosts: filledList(
    text({ type: 'host', allowed: 'a host name, or *.example.com for the names below one; no port', fault: hostFault }),
    'a list of at least one host',
  )
    .optional()
    .meta({
      description: 'Exact names, or `*.` and a suffix. Default: any host. Where routes of a host fit, they come first.',
    }),
  access: choice(['token', 'optional', 'public'])
    .prefault('token')
    .meta({ description: 'A valid token is needed; judged if there is one; nothing is judged.' }),
  upstream: name().optional().meta({ description: 'Where to forward. Default: the only upstream.' }),
  require: z.union([action(), actions(), anyOf]).optional().meta({
    description:
      'Actions that the token must permit: one, a list of which all, or `{ any: [ … ] }`. `{name}` is a part of the path, `{param.name}` a parameter.',
  }),
  cors: cors.optional().meta({ description: 'Cross-origin requests of browsers.' }),
  allow: z
    .array(choice(allowances))
    .prefault([])
    .meta({ description: 'Spellings of paths that are refused elsewhere.' }),
  strip_prefix: text({
    type: 'path',
    allowed: "whole literal segments at the start of the route's path, such as /api",
    fault: value => (/^(?:\/[^/?#{}*\s\\]+)+$/.test(value) ? null : 'is no path of whole literal segments'),
  })
    .optional()
    .meta({ description: 'Literal segments that are removed from the path after the judgment.' }),
  forward_credential: flag().prefault(false).meta({ description: 'Leave the token in the request.' }),
  forward_headers: forwardHeaders.optional().meta({
    description: "Client fields that are forwarded although they are dropped by default. Default: the file's.",
  }),
  max_body: sizeOrUnlimited()
    .optional()
    .meta({ description: "Largest request body; beyond it 413. Default: the file's." }),
  resource: text({
    type: 'resource',
    allowed: 'a resource such as widgets/{id} or db/{param.database}',
    fault: resourceTemplateFault,
  })
    .optional()
    .meta({
      description: 'What the actions are done to. Default: nothing in particular, which only grants on `*` allow.',
    }),
  inspect_body: size().optional().meta({
    description: 'Largest urlencoded or JSON body, whose members are parameters. Default: bodies are not looked into.',
  }),
  commands: noted(z.record(command(), mapped()), { filled: 'a map of at least one value and its action' })
    .optional()
    .meta({
      description:
        'Actions by the value of the one `{…}` in `require`; what is not listed is 403. ` on *` behind one: it is for no one resource.',
    }),
  mode: choice(['enforce', 'shadow'])
    .prefault('enforce')
    .meta({ description: '`shadow` records what 401, 403 and 429 would refuse, and forwards it.' }),
  cost: z
    .union([units(0), reservedCost])
    .optional()
    .meta({
      description:
        'Units that a request takes of each limit, however many actions it asks for; 0: none. Or `{ reserve, response_header }`: as many as the response says. Default: 1.',
    }),
});
