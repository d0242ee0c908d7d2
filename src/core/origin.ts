import { single } from './fields.ts';
import type { Form } from './form.ts';
import type { Cors, Leaf, Route } from './route.ts';
import { allowedMethods, routeFor } from './route.ts';

/**
 * Where a browser's request comes from: the rule for tokens in cookies (cross-site request forgery), and CORS.
 */

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * A cookie goes along with requests that other sites cause. Unsafe methods and upgrades therefore need a same-origin
 * or listed `Origin` whenever a browser says where the request comes from. Returns what is wrong, or null.
 */
export function cookieFault(form: Form, cors: Cors | null, ownOrigin: string): string | null {
  if (safeMethods.has(form.method) && !form.websocket) return null;
  const origin = single(form.fields, form.names, 'origin');
  if (origin != null) {
    if (sameOrigin(origin, ownOrigin) || cors?.origins.has(origin)) return null;
    return 'A token in a cookie is not taken from this Origin.';
  }
  const site = single(form.fields, form.names, 'sec-fetch-site');
  if (site === undefined || site === 'same-origin' || site === 'none') return null;
  return 'A token in a cookie is not taken from another site.';
}

const defaultPort = /^(?:http:\/\/(.*):80|https:\/\/(.*):443)$/;

/** Equal as origins (RFC 6454): case of scheme and host, and a default port, make no difference. */
function sameOrigin(a: string, b: string): boolean {
  const canonical = (origin: string): string => {
    const text = origin.toLowerCase();
    const port = defaultPort.exec(text);
    return port === null ? text : text.slice(0, text.lastIndexOf(':'));
  };
  return canonical(a) === canonical(b);
}

/** The request's Origin when the route's CORS list has it; else null. */
export function allowedOrigin(form: Form, cors: Cors | null): string | null {
  if (cors === null) return null;
  const origin = single(form.fields, form.names, 'origin');
  return origin != null && (cors.origins.has(origin) || cors.origins.has('*')) ? origin : null;
}

export interface Preflight {
  readonly route: Route;
  readonly origin: string;
  readonly mode: 'forward' | 'answer';
  /** The pattern's methods. */
  readonly methods: readonly string[];
  /** `Access-Control-Request-Headers` as asked; null when none were. */
  readonly headers: string | null;
}

/**
 * A CORS preflight that the route of the asked method wants forwarded or answered. Null: it is judged like any
 * request (`refuse`, an origin that is not listed, a method that no route lists).
 */
export function readPreflight(form: Form, leaf: Leaf): Preflight | null {
  if (form.method !== 'OPTIONS') return null;
  const asked = single(form.fields, form.names, 'access-control-request-method');
  if (asked == null) return null;
  const route = routeFor(leaf, asked);
  if (route?.cors == null || route.cors.preflight === 'refuse') return null;
  const origin = allowedOrigin(form, route.cors);
  if (origin === null) return null;
  return {
    route,
    origin,
    mode: route.cors.preflight,
    methods: allowedMethods(leaf),
    headers: single(form.fields, form.names, 'access-control-request-headers') ?? null,
  };
}
