import * as z from 'zod';
import { filledList } from './notes.ts';
import { forwardedPart, introspectionUrlFault, pointerFault } from './sessions.ts';
import { duration, text } from './values.ts';

const pointer = () =>
  text({ type: 'JSON pointer', allowed: 'a JSON pointer such as /account/id', fault: pointerFault });

/** `sessions`: who manages through token APIs. */
export const sessions = z.strictObject({
  introspect: z
    .strictObject({
      url: text({
        type: 'URL',
        allowed: 'an http or https URL without user name and fragment',
        fault: introspectionUrlFault,
      }).meta({
        description:
          'Asked with GET whose session it is. 401, 403, 404 and no account are nobody; what is no answer is 503.',
      }),
      forward: filledList(
        text({ allowed: 'cookie, authorization or param:<name>', pattern: forwardedPart }),
        'a list of at least one of cookie, authorization and param:<name>',
      ).meta({
        description:
          'What it is shown: the cookies, the `Authorization` field, or the parameter `auth_token` under this name in the query. Tokens and sessions of our own are left out.',
      }),
      account: pointer().meta({
        description: 'Where the answer has the id of the account: text, or a whole number from 1.',
      }),
      permissions: pointer().optional().meta({
        description:
          "Where it has its permissions: a list of names, or a map of names to true or false. The account's own permissions are set to these when a session of it is shown; to none where nothing stands there. Left out: it has those that it has here.",
      }),
      owns: pointer().optional().meta({
        description:
          'Where it has what the account owns: a list of resources, as `owns` of an account; whole numbers are taken as text. It owns these from then on; where nothing stands there, nothing. Left out: it owns what was said here, and everything where nobody said.',
      }),
      cache: duration(0).optional().meta({
        description: 'How long an answer is used, if that is shorter than `revocation.bound`, which is the default.',
      }),
      timeout: duration(1).prefault('1s').meta({ description: 'How long an answer is waited for.' }),
    })
    .optional()
    .meta({ description: 'The system whose sessions managers have. Left out: those of `POST /v1/sessions` alone.' }),
});
