/**
 * How servers behind a proxy make a path of a target's raw path: each returns the segments that it would route by, or
 * null when it refuses. They are as different as servers are; none of them is right.
 */
export type Backend = (rawPath: string) => readonly string[] | null;

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** Decodes what it can, byte by byte, and leaves the rest: CGI, WSGI. */
export const decodeLoosely = (text: string): string =>
  text.replace(/(?:%[0-9A-Fa-f]{2})+/g, run => {
    const bytes = Buffer.from(run.replaceAll('%', ''), 'hex');
    return bytes.toString('utf8');
  });

/** Removes dot segments and empty ones, but keeps a slash at the end. */
function clean(path: string): string[] | null {
  const segments = path.slice(1).split('/');
  const out: string[] = [];
  for (const [i, segment] of segments.entries()) {
    const last = i === segments.length - 1;
    if (segment === '..') {
      if (out.length === 0) return null;
      out.pop();
      if (last) out.push('');
    } else if (segment === '.' || segment === '') {
      if (last) out.push('');
    } else out.push(segment);
  }
  return out;
}

const cutParameters = (path: string): string => path.replace(/;[^/]*/g, '');

function each(path: string): string[] | null {
  const segments = path.slice(1).split('/').map(decode);
  return segments.every(segment => segment !== null) ? segments : null;
}

export const backends: Readonly<Record<string, Backend>> = {
  /** Splits, then decodes each parameter. */
  express: each,
  /** Decodes the whole path, then cleans it. */
  'go ServeMux': path => {
    const decoded = decode(path);
    return decoded === null ? null : clean(decoded);
  },
  /** As above; refuses NUL, and what leads above the root. */
  nginx: path => {
    const decoded = decode(path);
    return decoded?.includes('\0') !== false ? null : clean(decoded);
  },
  /** Cuts path parameters off, decodes, cleans. */
  spring: path => {
    const decoded = decode(cutParameters(path));
    return decoded === null ? null : clean(decoded);
  },
  /** Decodes, then cuts parameters off, then cleans. */
  shiro: path => {
    const decoded = decode(path);
    return decoded === null ? null : clean(cutParameters(decoded));
  },
  /** Decodes bytes whatever they are. */
  wsgi: path => decodeLoosely(path).slice(1).split('/'),
  /** As WSGI, with repeated slashes merged. */
  werkzeug: path => decodeLoosely(path).replace(/\/+/g, '/').slice(1).split('/'),
  /** A backslash is a slash, encoded or not. */
  iis: path => clean(decodeLoosely(path).replaceAll('\\', '/')),
  /** A chain of two servers that both decode. */
  'decoded twice': path => clean(decodeLoosely(decodeLoosely(path))),
  /** C strings end at NUL. */
  cgi: path => clean(decodeLoosely(path).split('\0')[0]!),
};
