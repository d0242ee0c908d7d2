/** Variables of the environment. */
export type Env = Readonly<Record<string, string | undefined>>;

export type Substitution =
  | { readonly ok: true; readonly text: string; readonly changed: boolean }
  | { readonly ok: false; readonly why: string };

/** `$$`, `${NAME}`, `${NAME:-default}`. Any other `$` is itself. */
const reference = /\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})/g;

/** Replaces references to variables in a scalar. What comes in is not looked at again: it may hold any text. */
export function substitute(text: string, env: Env): Substitution {
  if (!text.includes('$')) return { ok: true, text, changed: false };
  const faults: string[] = [];
  const replaced = text.replace(reference, (whole: string, name: string | undefined, fallback: string | undefined) => {
    if (name === undefined) return '$';
    if (fallback?.includes('${')) faults.push(`the default of \${${name}:-…} has a reference of its own`);
    const value = Object.hasOwn(env, name) ? env[name] : undefined;
    // As in a shell, `:-` also stands in for a variable that is set to nothing.
    if (fallback !== undefined) return value === undefined || value === '' ? fallback : value;
    if (value === undefined) faults.push(`the variable ${name} is not set`);
    return value ?? whole;
  });
  if (faults.length > 0) {
    return { ok: false, why: `${faults.join(', ')}; allowed: a variable that is set, or \${NAME:-default}` };
  }
  return { ok: true, text: replaced, changed: replaced !== text };
}
