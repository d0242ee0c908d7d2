import type { LogFields } from '../ports/log.ts';
import { scrub } from './scrub.ts';

const longestMessage = 1024;
const longestStack = 4096;

/**
 * What a log says of an error: its name, code and message, scrubbed. Never the object, because libraries hang
 * commands, arguments, requests and whole configurations on theirs. The stack repeats the message and is for debugging.
 */
export function errorFields(error: unknown, options: { readonly stack: boolean } = { stack: false }): LogFields {
  try {
    if (!(error instanceof Error)) return { error_name: typeof error, error_message: thrown(error) };
    const cause = error.cause instanceof Error ? (codeOf(error.cause) ?? word(error.cause.name)) : undefined;
    return {
      error_name: word(error.name),
      error_code: codeOf(error),
      error_message: scrub(String(error.message), longestMessage),
      error_cause: cause,
      error_stack: options.stack && typeof error.stack === 'string' ? scrub(error.stack, longestStack) : undefined,
    };
  } catch {
    // An error may have been given members that throw.
    return { error_name: 'unreadable' };
  }
}

const word = (value: unknown): string => scrub(String(value), 64);

function codeOf(error: Error): string | number | undefined {
  const { code } = error as { code?: unknown };
  if (typeof code === 'string') return word(code);
  return typeof code === 'number' ? code : undefined;
}

/** Things that are thrown and are no errors: text is shown, an object is only named. */
function thrown(value: unknown): string {
  return typeof value === 'object' || typeof value === 'function'
    ? 'not an error'
    : scrub(String(value), longestMessage);
}
