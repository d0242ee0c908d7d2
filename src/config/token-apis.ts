import type { TokenApi } from './config.ts';
import type { Context } from './context.ts';
import type { Files } from './files.ts';
import type { Problems } from './problems.ts';
import type { File } from './schema.ts';
import { readKey32 } from './secrets.ts';
import { itemKey } from './tree.ts';
import type { Draft } from './walk.ts';

type Api = TokenApi['api'];

const everyMethod = ['GET', 'POST', 'DELETE'] as const;

/** What each API answers below its mount. `{}` is any one segment. */
const places: Readonly<Record<Api, readonly (readonly [methods: readonly string[], path: string])[]>> = {
  'access-api': [[['GET', 'POST'], '']],
  'access-keys': [
    // Other methods are refused there.
    [everyMethod, '/auth/access-keys'],
    [everyMethod, '/auth/access-keys/{}'],
    [everyMethod, '/admin/access-keys'],
    [everyMethod, '/admin/access-keys/{}'],
  ],
  'api-tokens': [
    // The WebSocket.
    [['GET'], ''],
    [['GET', 'POST'], '/v1/api-tokens/{}'],
  ],
};

/** One method and path that an API answers. */
interface Place {
  readonly method: string;
  readonly segments: readonly string[];
}

/** `token_apis`: each by itself, then against each other. */
export async function readTokenApis(
  drafts: Draft<NonNullable<File['token_apis']>>,
  { problems, files }: Context,
): Promise<readonly TokenApi[]> {
  const apis: TokenApi[] = [];
  const taken: { readonly listen: string; readonly place: Place; readonly key: string }[] = [];
  for (const [i, draft = {}] of drafts.entries()) {
    const key = itemKey('token_apis', i);
    const { api, mount, listen, envelope } = draft;
    const recoverableKey = await readRecoverable(draft, key, files, problems);
    if (envelope !== undefined && api !== undefined && api !== 'api-tokens') {
      problems.add(`${key}.envelope`, `is of api-tokens, and this is ${api}; allowed: with api: api-tokens`);
    }
    // What is no API, or none that is built, has its problem already.
    if (api === undefined || api === 'access-tokens' || mount === undefined || listen === undefined) continue;
    const path = mount === '/' ? '' : mount;
    const answered = placesOf(api, path);
    if (listen === 'admin' && answered.some(({ segments }) => segments[0] === 'v1')) {
      const message = `puts ${api} under /v1, where the admin API is; allowed: another path, or listen: proxy`;
      problems.add(`${key}.mount`, message);
    }
    for (const place of answered) {
      const first = taken.find(other => other.listen === listen && areSame(other.place, place));
      if (first === undefined) continue;
      const where = `${first.key} (${problems.lineOf(`${first.key}.mount`)})`;
      const what = `${place.method} /${place.segments.join('/')}`;
      problems.add(`${key}.mount`, `${where} answers ${what} too; allowed: a path or a listener of its own`);
      break;
    }
    taken.push(...answered.map(place => ({ listen, place, key })));
    if (recoverableKey !== null && api !== 'access-api') {
      problems.warn(`${key}.recoverable`, `has no effect: ${api} never shows a secret again`);
    }
    apis.push({ api, path, listen, envelope: envelope ?? 'result', recoverableKey });
  }
  return apis;
}

async function readRecoverable(
  { recoverable }: NonNullable<Draft<NonNullable<File['token_apis']>>[number]>,
  at: string,
  files: Files,
  problems: Problems,
): Promise<Buffer | null> {
  const name = recoverable?.key_file;
  return name === undefined ? null : readKey32(name, `${at}.recoverable.key_file`, files, problems);
}

const placesOf = (api: Api, path: string): readonly Place[] =>
  places[api].flatMap(([methods, below]) => {
    const segments = `${path}${below}`.slice(1).split('/');
    return methods.map(method => ({ method, segments }));
  });

const areSame = (a: Place, b: Place): boolean =>
  a.method === b.method &&
  a.segments.length === b.segments.length &&
  a.segments.every((segment, i) => segment === b.segments[i] || segment === '{}' || b.segments[i] === '{}');
