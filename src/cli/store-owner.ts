import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Given } from './arguments.ts';
import { Options } from './arguments.ts';
import { type Call, Failed } from './command.ts';
import { askStream } from './request.ts';
import { findTarget } from './target.ts';
import { certificateFault } from './trust.ts';

/** A store that a running process owns: it is asked, through its admin API. */

/** Nothing for so long, and the answer has died. */
const silenceMs = 60_000;

/** The options of a call, with others in the place of some. */
export const withOptions = (
  { options }: Pick<Call, 'options'>,
  names: readonly string[],
  more: readonly Given[],
): Options => new Options([...options.inOrder(...names), ...more]);

/** Bytes of a backup, from the process that owns the store. */
export async function askOwner(call: Pick<Call, 'options' | 'io'>): Promise<AsyncIterable<Uint8Array>> {
  const { url, key, tls } = await findTarget(call);
  const asked = { method: 'GET', headers: { Authorization: `Bearer ${key}` }, timeoutMs: silenceMs, tls };
  const { status, body } = await askStream(new URL('/v1/store/backup', url), asked).catch(
    (error: NodeJS.ErrnoException) => {
      throw new Failed(`no answer from ${url}: ${certificateFault(error.code) ?? error.code ?? error.message}`);
    },
  );
  if (status === 200) return unbroken(body, url);
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(piece as Buffer);
  throw new Failed(`${url} answered ${status}: ${problemOf(Buffer.concat(pieces).toString('utf8'))}`);
}

/** How the owner of a folder is asked when nothing but the folder was named. */
export function ownerOfFolder(call: Pick<Call, 'options' | 'io'>, folder: string): Pick<Call, 'options' | 'io'> {
  const { options, io } = call;
  if (options.text('url') === undefined && io.env['POSTERN_ADMIN_URL'] === undefined) {
    const remedy = 'name its configuration instead of the folder, or its admin API with --url, or stop it';
    throw new Failed(`the store in ${folder} is in use by a running process, which has to be asked: ${remedy}`);
  }
  const keyFile = path.join(folder, 'admin.key');
  const isSaid = options.text('key-file') !== undefined || io.env['POSTERN_ADMIN_KEY'] !== undefined;
  const key: Given[] = isSaid || !existsSync(keyFile) ? [] : [{ name: 'key-file', value: keyFile }];
  return { options: withOptions(call, ['url', 'key-file', 'ca'], key), io };
}

async function* unbroken(body: AsyncIterable<unknown>, url: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of body) yield piece as Buffer;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Failed(`the answer from ${url} broke off: ${code ?? message}; its log says why, try again`);
  }
}

function problemOf(text: string): string {
  try {
    const { detail, code } = JSON.parse(text) as { detail?: unknown; code?: unknown };
    return `${String(code)}: ${String(detail)}`;
  } catch {
    return 'and not as the admin API does';
  }
}
