import { captureName } from './path-pattern.ts';

/**
 * Names of actions and resources with places for what a request says: `{capture}` is a named part of the path,
 * `{param.name}` a parameter, `{param.a.b}` a member of a member of a JSON body.
 */
export interface Slot {
  readonly kind: 'capture' | 'parameter';
  /** Of the capture (`action`), or of the parameter (`database`, `params.database`). */
  readonly name: string;
}

/** Literal text and slots in turn, read once. */
export interface Template {
  readonly pieces: readonly (string | Slot)[];
}

export type TemplateReading =
  | { readonly ok: true; readonly template: Template }
  | { readonly ok: false; readonly why: string };

const slotForm = /(\{[^{}]*\})/;
const parameterName = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;
const longestParameter = 256;
const parameterMark = 'param.';

export function readTemplate(text: string): TemplateReading {
  const pieces: (string | Slot)[] = [];
  for (const [i, part] of text.split(slotForm).entries()) {
    if (i % 2 === 0) {
      if (/[{}]/.test(part)) return { ok: false, why: 'has a brace without its other' };
      if (part !== '') pieces.push(part);
      continue;
    }
    const inner = part.slice(1, -1);
    const isParameter = inner.startsWith(parameterMark);
    const name = isParameter ? inner.slice(parameterMark.length) : inner;
    if (isParameter && (!parameterName.test(name) || name.length > longestParameter)) {
      return { ok: false, why: `has ${part}, which is no name of a parameter: letters, digits, _ and - between dots` };
    }
    if (!isParameter && !captureName.test(name)) {
      return { ok: false, why: `has ${part}, which is no name: letters, digits and _` };
    }
    pieces.push({ kind: isParameter ? 'parameter' : 'capture', name });
  }
  return { ok: true, template: { pieces } };
}

/** The places in a template, in their order. */
export const slotsOf = ({ pieces }: Template): readonly Slot[] => pieces.filter(piece => typeof piece !== 'string');

export const fill = ({ pieces }: Template, filling: (slot: Slot) => string): string =>
  pieces.map(piece => (typeof piece === 'string' ? piece : filling(piece))).join('');

/** As it is written. Two slots are the same when this is. */
export const slotText = ({ kind, name }: Slot): string => (kind === 'capture' ? `{${name}}` : `{param.${name}}`);
