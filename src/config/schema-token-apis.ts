import * as z from 'zod';
import { choice, file, text } from './values.ts';

/** `token_apis`: APIs of other systems for managing tokens, each at a path of its own. */

/** Whole literal segments, in characters that nobody encodes; `/` is the root. */
const mountForm = /^\/(?:[A-Za-z0-9._~-]+(?:\/[A-Za-z0-9._~-]+)*)?$/;

function mountFault(value: string): string | null {
  if (!value.startsWith('/')) return 'does not begin with /';
  if (!mountForm.test(value)) return 'is not a path of literal segments';
  const segments = value.slice(1).split('/');
  if (segments.some(segment => segment === '.' || segment === '..')) return 'has a dot segment';
  return segments[0] === 'v1' ? 'is a place of the admin API, which is never mounted over' : null;
}

const recoverable = z.strictObject({
  key_file: file().meta({ description: 'A file that holds 32 random bytes in base64: the key of the copies.' }),
});

const tokenApi = z.strictObject({
  api: choice(
    ['access-api', 'access-keys', 'access-tokens', 'api-tokens'],
    ['access-api', 'access-keys', 'api-tokens'],
  ).meta({ description: 'Which API is spoken.' }),
  mount: text({
    type: 'path',
    allowed: 'a path of literal segments such as /api, or /; not below /v1',
    pattern: mountForm,
    fault: mountFault,
  }).meta({ description: 'The path that it stands under.' }),
  listen: choice(['admin', 'proxy']).prefault('admin').meta({
    description: 'The listener. On the proxy it comes before the routes; on the admin listener it needs no admin key.',
  }),
  envelope: choice(['result', 'jsonrpc']).optional().meta({
    description: 'Of `api-tokens`: what answers are put in, for older clients or for newer ones. Default: result.',
  }),
  recoverable: recoverable.optional().meta({
    description: 'Keep a sealed copy of each secret, so that it can be shown again. Default: secrets are shown masked.',
  }),
});

export const tokenApis = z.array(tokenApi);
