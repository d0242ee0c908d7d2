import path from 'node:path';
import type { Config } from './config.ts';
import type { Context } from './context.ts';
import { Files } from './files.ts';
import { Problems, problemLine } from './problems.ts';
import { fileSchema } from './schema.ts';
import { readStore } from './store.ts';
import { walk } from './walk.ts';
import { readYaml } from './yaml.ts';

/** The store in a folder or at an address of Redis, and all else of it as it is by default; or what is wrong. */
export async function storeAt(
  place: { readonly folder: string } | { readonly url: string },
): Promise<
  { readonly ok: true; readonly store: Config['store'] } | { readonly ok: false; readonly problems: readonly string[] }
> {
  const problems = new Problems();
  const files = new Files(process.cwd(), problems);
  const context: Context = { problems, files, env: {}, now: Date.now() };
  const store =
    'url' in place ? { kind: 'redis', url: place.url } : { kind: 'embedded', path: path.resolve(place.folder) };
  // What else a configuration must have makes no difference to a store. Text is taken as it is: $ stands for itself.
  const rest = { upstreams: { u: { url: 'http://upstream.invalid' } }, routes: [{ path: '/**' }] };
  const text = JSON.stringify({ ...rest, store }).replaceAll('$', '$$$$');
  const tree = readYaml(text, 'store', {}, problems);
  const draft = tree === null ? undefined : walk(fileSchema, tree, problems);
  const read = draft?.store === undefined ? null : await readStore(draft.store, 1, context);
  if (read !== null && problems.list.length === 0) return { ok: true, store: read };
  return { ok: false, problems: problems.list.map(problemLine) };
}
