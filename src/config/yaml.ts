import {
  type Alias,
  type ErrorCode,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type ParsedNode,
  parseDocument,
  type Scalar,
  type Schema,
} from 'yaml';
import type { Problems } from './problems.ts';
import { type Env, substitute } from './substitute.ts';
import { itemKey, type Member, memberKey, type Spot, scalarTree, type Tree } from './tree.ts';

/** Bounds on one file: far above any honest configuration, far below what would hurt. */
export const yamlLimits = { depth: 64, aliases: 100, values: 100_000, syntaxProblems: 20 } as const;

/** What the parser found, for people who write configurations. `near`: the character before and at the place. */
function syntaxMessage(code: ErrorCode, message: string, near: string): string {
  if (near === '${') return `an unquoted \${…} cannot stand within {} or []; allowed: quotes, or a line of its own`;
  if (code === 'MULTIPLE_DOCS') return 'a second document begins; allowed: one';
  if (code === 'NON_STRING_KEY') return 'a key is no text; allowed: names as keys';
  // After a colon the parser quotes the text that it trips over, which may be a secret.
  return `${message.replace(/: .*$/s, '')}; allowed: YAML 1.2`;
}

/**
 * Reads a file of YAML 1.2 (core schema; JSON is part of it) into a tree, with variables substituted. Null when the
 * text cannot be read as YAML at all; then, and for whatever else is wrong with the form, there are problems.
 */
export function readYaml(text: string, file: string, env: Env, problems: Problems): Tree | null {
  const lines = new LineCounter();
  const spot = (offset: number): Spot => {
    const { line, col } = lines.linePos(offset);
    return { source: file, line: Math.max(1, line), column: Math.max(1, col) };
  };
  const whole: Spot = { source: file, line: 1, column: 1 };
  try {
    if (nestsTooDeep(text)) {
      problems.add('', `is nested too deep; allowed: ${yamlLimits.depth} levels`, whole);
      return null;
    }
    const document = parseDocument(text, {
      version: '1.2',
      schema: 'core',
      strict: true,
      stringKeys: true,
      // Found below, where both lines can be named.
      uniqueKeys: false,
      merge: false,
      resolveKnownTags: false,
      prettyErrors: false,
      lineCounter: lines,
    });
    const { errors, warnings, directives, contents } = document;
    const seen = new Set<number>();
    for (const { code, message, pos } of [...errors, ...warnings]) {
      const at = spot(pos[0]);
      // What follows in the line of a mistake, and at last in the whole file, is mostly its echo.
      if (seen.has(at.line) || seen.size === yamlLimits.syntaxProblems) continue;
      seen.add(at.line);
      problems.add('', syntaxMessage(code, message, text.slice(pos[0] - 1, pos[0] + 1)), at);
    }
    if (directives?.yaml.explicit === true && directives.yaml.version !== '1.2') {
      // Under 1.1 `no` and `on` are truth values, and merge keys hold.
      problems.add('', `%YAML ${directives.yaml.version} is not spoken; allowed: YAML 1.2`, whole);
      return null;
    }
    if (errors.length > 0) return null;
    if (contents === null) {
      problems.add('', 'is empty; allowed: a map with upstreams and routes', whole);
      return null;
    }
    return new Converter(document.schema, env, problems, spot).convert(contents, '').tree;
  } catch (error) {
    if (!(error instanceof TooMuch)) problems.add('', 'cannot be read as YAML; allowed: YAML 1.2', whole);
    return null;
  }
}

/**
 * A cheap look ahead of the parser, which works recursively. Each level of a block costs at least one column of
 * indentation or an indicator, so that generous columns bound it; flow collections are counted.
 */
function nestsTooDeep(text: string): boolean {
  for (const line of text.split('\n')) {
    const lead = /^(?: *[-?:] )* */.exec(line)?.[0] ?? '';
    if (lead.length > 4 * yamlLimits.depth) return true;
  }
  let depth = 0;
  let scalar = false;
  for (const token of new Lexer().lex(text)) {
    // The lexer announces a scalar with this character; the token after it is its text.
    if (scalar || token === '\u001f') scalar = !scalar;
    else if (token === '[' || token === '{') {
      if (++depth > yamlLimits.depth) return true;
    } else if (token === ']' || token === '}') depth--;
  }
  return false;
}

/** Thrown past the recursion when the file holds more than is looked at; the problem is told before. */
class TooMuch extends Error {}

interface Converted {
  readonly tree: Tree;
  /** Values in it, aliases counted with what they stand for. */
  readonly values: number;
  readonly depth: number;
}

class Converter {
  readonly #schema: Schema;
  readonly #env: Env;
  readonly #problems: Problems;
  readonly #spot: (offset: number) => Spot;
  readonly #anchors = new Map<string, Converted>();
  #aliases = 0;

  constructor(schema: Schema, env: Env, problems: Problems, spot: (offset: number) => Spot) {
    this.#schema = schema;
    this.#env = env;
    this.#problems = problems;
    this.#spot = spot;
  }

  convert(node: ParsedNode | null, key: string): Converted {
    if (node === null) return { tree: scalarTree(null, this.#spot(0), 'nothing'), values: 1, depth: 1 };
    if (isAlias(node)) return this.#alias(node, key);
    const converted = this.#bounded(this.#collect(node, key), this.#spot(node.range[0]));
    // Only now: an anchor cannot be used within itself.
    if ('anchor' in node && typeof node.anchor === 'string') this.#anchors.set(node.anchor, converted);
    return converted;
  }

  #collect(node: Exclude<ParsedNode, Alias>, key: string): Converted {
    const at = this.#spot(node.range[0]);
    if (isScalar(node)) return { tree: this.#scalar(node, at, key), values: 1, depth: 1 };
    let values = 1;
    let depth = 0;
    const inside = (node: ParsedNode | null, name: string): Tree => {
      const converted = this.convert(node, name);
      values += converted.values;
      depth = Math.max(depth, converted.depth);
      return converted.tree;
    };
    if (isSeq(node)) {
      const items = (node.items as ParsedNode[]).map((item, i) => inside(item, itemKey(key, i)));
      return { tree: { kind: 'list', at, items }, values, depth: depth + 1 };
    }
    const members = new Map<string, Member>();
    if (isMap(node)) {
      for (const pair of node.items) {
        const name = String((pair.key as Scalar).value);
        const keyAt = this.#spot(pair.key.range?.[0] ?? node.range[0]);
        if (name === '<<') {
          const message = '<< merges nothing in YAML 1.2; allowed: the members themselves, written out';
          this.#problems.add(memberKey(key, name), message, keyAt);
          continue;
        }
        const first = members.get(name);
        if (first !== undefined) {
          this.#problems.add(
            memberKey(key, name),
            `duplicate key, first in line ${first.at.line}; allowed: once`,
            keyAt,
          );
          continue;
        }
        const value = pair.value as ParsedNode | null;
        const tree = value === null ? scalarTree(null, keyAt, 'nothing') : inside(value, memberKey(key, name));
        members.set(name, { at: keyAt, tree });
      }
    }
    return { tree: { kind: 'map', at, members }, values, depth: depth + 1 };
  }

  #scalar(node: Scalar.Parsed, at: Spot, key: string): Tree {
    const { value, source, type } = node;
    const plain = type === 'PLAIN' && node.tag === undefined;
    const text = plain ? source : value;
    if (typeof text !== 'string') return scalarTree(value as number | boolean | null, at, source);
    const substitution = substitute(text, this.#env);
    if (!substitution.ok) {
      this.#problems.add(key, substitution.why, at);
      return { kind: 'hole', at };
    }
    const shown = JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
    if (!plain) return scalarTree(substitution.text, at, shown);
    if (!substitution.changed)
      return scalarTree(value as string | number | boolean | null, at, plainShown(value, shown));
    return scalarTree(this.#typed(substitution.text), at, shown);
  }

  /** What the core schema makes of an unquoted scalar. */
  #typed(text: string): string | number | boolean | null {
    for (const tag of this.#schema.tags) {
      if (tag.default !== true || tag.collection !== undefined || tag.test?.test(text) !== true) continue;
      const resolved: unknown = tag.resolve(text, () => {}, {});
      const value = isScalar(resolved) ? resolved.value : resolved;
      return value as string | number | boolean | null;
    }
    return text;
  }

  #alias(node: Alias.Parsed, key: string): Converted {
    const at = this.#spot(node.range[0]);
    const target = this.#anchors.get(node.source);
    if (target === undefined) {
      this.#problems.add(
        key,
        'an alias refers to nothing whole before it; allowed: an anchor above, or quotes around text with a *',
        at,
      );
      return { tree: { kind: 'hole', at }, values: 1, depth: 1 };
    }
    if (++this.#aliases > yamlLimits.aliases) {
      this.#problems.add(key, `is one alias too many; allowed: ${yamlLimits.aliases} in a file`, at);
      throw new TooMuch();
    }
    return this.#bounded(target, at);
  }

  #bounded(converted: Converted, at: Spot): Converted {
    if (converted.depth > yamlLimits.depth) {
      this.#problems.add('', `is nested too deep; allowed: ${yamlLimits.depth} levels`, at);
      throw new TooMuch();
    }
    if (converted.values > yamlLimits.values) {
      this.#problems.add('', `has too many values; allowed: ${yamlLimits.values}, aliases counted in full`, at);
      throw new TooMuch();
    }
    return converted;
  }
}

/** Numbers and truth values as they stand; text in quotes. */
const plainShown = (value: unknown, shown: string): string =>
  typeof value === 'string' ? shown : value === null ? 'nothing' : String(value);
