import { readPointer } from '../core/json-pointer.ts';
import type { Config, Introspection, TokenApi } from './config.ts';
import type { Context } from './context.ts';
import type { Problems } from './problems.ts';
import type { File } from './schema.ts';
import { itemKey } from './tree.ts';
import type { Draft } from './walk.ts';

/** `sessions`. Nothing is remembered for longer than `revocation.bound`, and no answer is waited for as long. */
export function readSessions(
  draft: Draft<File['sessions']>,
  boundMs: number | undefined,
  { problems }: Context,
): Config['sessions'] {
  if (draft.introspect === undefined) return { introspect: null };
  const { url = '', forward = [], account = '', permissions, owns, cache, timeout = 0 } = draft.introspect;
  const at = 'sessions.introspect';
  const names = new Map<string, string>();
  for (const [i, part = ''] of forward.entries()) {
    // One value has one name; two would be the same session twice.
    problems.once(names, part.startsWith('param:') ? 'param:' : part, itemKey(`${at}.forward`, i), `"${part}"`);
    if (part.startsWith('param:') && URL.canParse(url) && new URL(url).searchParams.has(part.slice('param:'.length))) {
      problems.add(itemKey(`${at}.forward`, i), 'is in the URL already; allowed: a parameter that the URL has not');
    }
  }
  if (boundMs !== undefined) {
    const less = `is longer than revocation.bound, and ${boundMs} ms hold`;
    if (cache !== undefined && cache > boundMs) problems.warn(`${at}.cache`, less);
    if (timeout > boundMs) problems.warn(`${at}.timeout`, less);
  }
  const longest = boundMs ?? 0;
  return {
    introspect: {
      url,
      forward: forward.flatMap(part => (part === undefined ? [] : [partOf(part)])),
      account: readPointer(account) ?? [],
      permissions: permissions === undefined ? null : readPointer(permissions),
      owns: owns === undefined ? null : readPointer(owns),
      cacheMs: Math.min(cache ?? longest, longest),
      timeoutMs: Math.min(timeout, longest),
    },
  };
}

type Part = Introspection['forward'][number]['kind'];

/** Where each API takes sessions of the other system from. */
const shownBy: Readonly<Record<TokenApi['api'], readonly Part[]>> = {
  'access-api': ['parameter'],
  'access-keys': ['cookie', 'authorization'],
  'api-tokens': ['authorization'],
};

const partText: Readonly<Record<Part, string>> = {
  cookie: 'cookie',
  authorization: 'authorization',
  parameter: 'param:<name>',
};

/** Warns where the other system is never asked: everybody would be nobody, and nothing would say why. */
export function noteUnasked({ introspect }: Config['sessions'], apis: readonly TokenApi[], problems: Problems): void {
  if (introspect === null) return;
  if (apis.length === 0) {
    problems.warn('sessions.introspect', 'nobody is ever asked: no token API is mounted (token_apis)');
    return;
  }
  const names = [...new Set(apis.map(({ api }) => api))];
  const shown = new Set(names.flatMap(api => shownBy[api]));
  if (introspect.forward.some(({ kind }) => shown.has(kind))) return;
  const taken = names.map(api => `${api} in ${shownBy[api].map(part => partText[part]).join(' or ')}`);
  problems.warn('sessions.introspect.forward', `nobody is ever asked: sessions are shown to ${taken.join(', to ')}`);
}

function partOf(part: string): Introspection['forward'][number] {
  if (part === 'cookie' || part === 'authorization') return { kind: part };
  return { kind: 'parameter', name: part.slice('param:'.length) };
}

/** What is wrong with the URL that is asked. */
export function introspectionUrlFault(text: string): string | null {
  if (!/^https?:\/\//i.test(text)) return 'is no http or https URL';
  if (!/^[!-~]+$/.test(text) || !URL.canParse(text)) return 'is no URL';
  const { username, password } = new URL(text);
  if (username !== '' || password !== '') return 'has a user name or password';
  return text.includes('#') ? 'has a fragment, which is never sent' : null;
}

export const forwardedPart: RegExp = /^(?:cookie|authorization|param:[A-Za-z0-9_.-]{1,64})$/;

export function pointerFault(text: string): string | null {
  const steps = readPointer(text);
  return steps === null || steps.length === 0 ? 'is no JSON pointer to a member' : null;
}
