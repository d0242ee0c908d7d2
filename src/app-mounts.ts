import { mount as accessApi } from './apis/access-api/mount.ts';
import { mount as accessKeys } from './apis/access-keys/mount.ts';
import { keyShape } from './apis/access-keys/secret.ts';
import { mount as apiTokens } from './apis/api-tokens/mount.ts';
import { tokenShape } from './apis/api-tokens/token-form.ts';
import type { ApiParts, Recovery } from './apis/parts.ts';
import type { Config, TokenApi } from './config/config.ts';
import type { Mount } from './ports/mount.ts';
import type { FeedEvent } from './ports/token-store.ts';
import { SecretRecovery } from './secrets/recovery.ts';

/** Mounts of one configuration, by listener. */
export interface Mounted {
  readonly proxy: readonly Mount[];
  readonly admin: readonly Mount[];
}

/** What secrets of the mounted APIs look like that are not written as ours are. */
const shapes: Readonly<Record<TokenApi['api'], readonly RegExp[]>> = {
  'access-api': [],
  'access-keys': [keyShape],
  'api-tokens': [tokenShape],
};

export const shapesOf = ({ tokenApis }: Config): readonly RegExp[] => [
  ...new Set(tokenApis.flatMap(({ api }) => shapes[api])),
];

/** The room of an API, at its mount. */
export function mountOf({ api, path, envelope }: TokenApi, parts: ApiParts): Mount {
  switch (api) {
    case 'access-api':
      return accessApi(parts, { path });
    case 'access-keys':
      return accessKeys(parts, { path });
    case 'api-tokens':
      return apiTokens(parts, { path, envelope });
  }
}

/** Listeners for changes, of whom each can leave. */
export class Changes {
  readonly #listeners = new Set<(events: readonly FeedEvent[] | null) => void>();

  readonly on: ApiParts['onChange'] = listener => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  tell(events: readonly FeedEvent[] | null): void {
    for (const listener of this.#listeners) listener(events);
  }
}

const recoveryOf = ({ recoverableKey }: TokenApi): Recovery | null =>
  recoverableKey === null ? null : new SecretRecovery(recoverableKey);

/** Makes the mounts of configurations. One that stays as it is stays, and its connections with it. */
export class Mounting {
  readonly #parts: Omit<ApiParts, 'recovery'>;
  readonly #mountOf: typeof mountOf;
  #made = new Map<string, Mount>();

  constructor(parts: Omit<ApiParts, 'recovery'>, make: typeof mountOf = mountOf) {
    this.#parts = parts;
    this.#mountOf = make;
  }

  of({ tokenApis }: Config): Mounted {
    const made = new Map<string, Mount>();
    const mounted = { proxy: [] as Mount[], admin: [] as Mount[] };
    for (const api of tokenApis) {
      const key = JSON.stringify(api);
      const mount = this.#made.get(key) ?? this.#mountOf(api, { ...this.#parts, recovery: recoveryOf(api) });
      made.set(key, mount);
      mounted[api.listen].push(mount);
    }
    this.#made = made;
    return mounted;
  }
}
