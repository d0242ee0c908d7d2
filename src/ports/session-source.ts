/** Who manages tokens through a token API. */
export interface Manager {
  /** The account whose tokens are meant. */
  readonly account: string;
  /** What it may do there, by name: what its account permits on `*`, whose own permissions the legacy system may tell. */
  readonly permissions: Permissions;
  /** How it came. A token manages less than a session. */
  readonly by: 'session' | 'token';
  /** The token that was presented; null for a session. */
  readonly tokenId: string | null;
}

export interface Permissions {
  has(name: string): boolean;
  /** Every name that is known to be permitted, in a stable order. */
  readonly names: readonly string[];
}

/** A client, as far as it is counted how often it asks and fails. */
export interface Asker {
  /** Its network. */
  readonly network: string;
  /**
   * The network has failed too often to have another guess asked about. Whoever goes by that says `unavailable`; what the
   * API answers to it, the listener replaces with 429.
   */
  heldBack(): boolean;
}

/** What a client shows to say who it is; null where it shows nothing there. */
export interface Presented {
  readonly asker: Asker;
  /** The whole `Cookie` line, and the value of the API's own session cookie in it. */
  readonly cookie: string | null;
  readonly cookieValue: string | null;
  readonly authorization: string | null;
  /** The credential in `Authorization`, without its scheme. */
  readonly bearer: string | null;
  /** The parameter `auth_token`. */
  readonly parameter: string | null;
}

/** `unavailable`: it could not be asked. That is a 503, and never "nobody". */
export type Identified =
  | { readonly kind: 'manager'; readonly manager: Manager }
  | { readonly kind: 'nobody' }
  | { readonly kind: 'unavailable'; readonly retryAfter: number };

/** Sessions of the system whose API it is: it owns them, and is asked. */
export interface SessionSource {
  identify(presented: Presented): Promise<Introspected>;
}

export type Introspected =
  | {
      readonly kind: 'found';
      readonly account: string;
      /** Null: it is not asked what the account may do. */
      readonly permissions: readonly string[] | null;
      /** Null: it is not asked what the account owns. */
      readonly owns: readonly string[] | null;
    }
  | { readonly kind: 'nobody' }
  | { readonly kind: 'unavailable'; readonly retryAfter: number };
