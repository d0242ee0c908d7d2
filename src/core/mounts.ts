import { carriesBody, type Form } from './form.ts';
import { decodeOnce, type Target } from './target.ts';

/** A token API at one path, as far as telling its requests from others goes. */
export interface Claimant {
  readonly api: string;
  /** Whole literal segments, such as `/api`; empty at the root. */
  readonly path: string;
  claims(form: Form): 'yes' | 'no' | 'form';
  claimsForm(form: Form, body: string): boolean;
}

/** Whose a request is. */
export type MountClaim<M extends Claimant> =
  | { readonly kind: 'nobody' }
  /** `form`: as the API is to see it. */
  | { readonly kind: 'mount'; readonly mount: M; readonly form: Form }
  /** The body tells; `mounts` are asked in this order. */
  | { readonly kind: 'body'; readonly mounts: readonly [M, ...M[]] }
  /** Some server would take the path for that of a mount, and others would not. */
  | { readonly kind: 'ambiguous'; readonly mount: M };

/** Most bytes of a body that is read to find out whose a request is. Larger ones are nobody's. */
export const claimedFormBytes: number = 64 * 1024;

const nobody = { kind: 'nobody' } as const;

/** The token APIs of a listener, side by side. Their paths have been held against each other by the configuration. */
export class Mounts<M extends Claimant> {
  readonly all: readonly M[];

  constructor(all: readonly M[]) {
    this.all = all;
  }

  claim(form: Form): MountClaim<M> {
    const { target, method } = form;
    // `OPTIONS *` and CONNECT name no path, and TRACE is nobody's.
    if (this.all.length === 0 || target.segments.length === 0 || method === 'CONNECT' || method === 'TRACE') {
      return nobody;
    }
    return target.needs.length === 0 ? this.#plain(form) : this.#odd(form);
  }

  #plain(form: Form): MountClaim<M> {
    const perhaps: M[] = [];
    for (const mount of this.all) {
      const said = mount.claims(form);
      if (said === 'yes') return { kind: 'mount', mount, form };
      if (said === 'form') perhaps.push(mount);
    }
    const [first, ...others] = perhaps;
    return first === undefined || !fits(form) ? nobody : { kind: 'body', mounts: [first, ...others] };
  }

  /**
   * Attack: a spelling that a route allows is no way past a mount, to an upstream that makes of it what the mount would
   * have answered.
   */
  #odd(form: Form): MountClaim<M> {
    for (const mount of this.all) {
      const once = withoutDoubledSlash(form, mount);
      if (once !== null && mount.claims(once) === 'yes') return { kind: 'mount', mount, form: once };
    }
    const loose = withTarget(form, looselyRead(form.target));
    const mount = this.all.find(each => each.claims(form) !== 'no' || each.claims(loose) !== 'no');
    return mount === undefined ? nobody : { kind: 'ambiguous', mount };
  }
}

const fits = ({ framing }: Form): boolean =>
  carriesBody(framing) && (framing.kind !== 'length' || framing.length <= claimedFormBytes);

const withTarget = (form: Form, target: Target): Form => ({ ...form, target });

/** Clients of this API double the slash behind the path that they are given. */
const doubling = 'api-tokens';

/** The request with one slash directly after the mount, where there are two and nothing else is odd; else null. */
function withoutDoubledSlash(form: Form, { api, path }: Claimant): Form | null {
  const { target } = form;
  if (api !== doubling || target.needs.length !== 1 || target.needs[0] !== 'double_slash') return null;
  const depth = path === '' ? 0 : path.split('/').length - 1;
  const { segments } = target;
  const rest = segments.slice(depth + 1);
  if (segments[depth] !== '' || rest.length === 0) return null;
  if (segments.slice(0, depth).join('/') !== path.slice(1) || rest.slice(0, -1).includes('')) return null;
  // As many raw segments stand before it as decoded ones.
  const raw = target.path.split('/');
  const text = [...raw.slice(0, depth + 1), ...raw.slice(depth + 2)].join('/');
  return withTarget(form, {
    raw: text + target.raw.slice(target.path.length),
    path: text,
    query: target.query,
    segments: [...segments.slice(0, depth), ...rest],
    needs: [],
  });
}

/** The path as the most lenient server reads it: decoded twice, without parameters, slashes joined. */
function looselyRead(target: Target): Target {
  const segments = target.segments
    .flatMap(segment => (decodeOnce(segment) ?? segment).split('/'))
    .map(segment => segment.replace(/;.*$/s, ''))
    .filter(segment => segment !== '');
  return { ...target, segments: segments.length === 0 ? [''] : segments, needs: [] };
}
