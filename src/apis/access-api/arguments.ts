import type { Parameters } from '../../core/parameters.ts';
import { readStrictJson } from '../../core/strict-json.ts';
import { type Json, namePattern } from '../../core/token.ts';
import { Faults } from '../../manage/faults.ts';
import { Failure } from './envelope.ts';
import { isObject, type JsonObject, permissionsOf, refuseOthers } from './extra.ts';

/** What is said of a token, permissions among it: those that its `extra` comes to. */
export interface SaidOfToken {
  readonly name?: string;
  readonly extra?: JsonObject;
  readonly permissions?: ReturnType<typeof permissionsOf>;
}

/** A parameter in its one reading; null when it is not there, or empty. */
export function optional(parameters: Parameters, name: string): string | null {
  const reading = parameters.read(name);
  switch (reading.kind) {
    case 'value':
      return reading.value === '' ? null : reading.value;
    case 'absent':
      return null;
    case 'ambiguous':
      throw new Failure(`${name} ${reading.why}.`);
    case 'closed':
      throw new Failure(`${name} cannot be read.`);
  }
}

export function required(parameters: Parameters, name: string): string {
  const value = optional(parameters, name);
  if (value === null) throw new Failure(`${name} is missing.`);
  return value;
}

/** `name` and `extra` of a token that is to be made. Without `extra` it is empty. */
export function saidForNew(parameters: Parameters): Required<SaidOfToken> {
  const name = required(parameters, 'name');
  const text = optional(parameters, 'extra');
  const faults = new Faults();
  checkName(name, '/name', faults);
  const extra = readObject(text ?? '{}', 'extra', faults);
  const permissions = permissionsOf(extra, '/extra', faults);
  faults.throwIfAny();
  return { name, extra, permissions };
}

/** `meta`: what changes of a token, each member as a whole. */
export function saidInMeta(parameters: Parameters): SaidOfToken {
  const faults = new Faults();
  const meta = readObject(required(parameters, 'meta'), 'meta', faults);
  refuseOthers(meta, ['name', 'extra'], '/meta', faults);
  const { name, extra } = meta;
  if (name === undefined && extra === undefined && !faults.any) faults.add('/meta', 'has neither name nor extra');
  if (name !== undefined) checkName(name, '/meta/name', faults);
  if (extra !== undefined && !isObject(extra)) faults.add('/meta/extra', 'is not an object');
  const said = {
    ...(typeof name === 'string' && { name }),
    ...(isObject(extra) && { extra, permissions: permissionsOf(extra, '/meta/extra', faults) }),
  };
  faults.throwIfAny();
  return said;
}

function checkName(name: Json, pointer: string, faults: Faults): void {
  if (typeof name !== 'string') faults.add(pointer, 'is not a string');
  else if (!namePattern.test(name)) faults.add(pointer, 'is not printable text of 1 to 256 characters');
}

/** A parameter that is an object in JSON, read strictly: it decides what a token may do. */
function readObject(text: string, name: string, faults: Faults): JsonObject {
  const reading = readStrictJson(text);
  if (!reading.ok) throw new Failure(`${name} is not JSON: column ${reading.column}: ${reading.why}.`);
  for (const { pointer, detail } of reading.refused) faults.add(`/${name}${pointer}`, detail);
  if (isObject(reading.value)) return reading.value;
  throw new Failure(`${name} is not an object.`);
}
