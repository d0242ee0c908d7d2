import { hash } from 'node:crypto';
import { type Failure, fairEnd } from './explore.ts';
import {
  type Action,
  type ActionKind,
  act,
  newWorld,
  type Rules,
  rules,
  type Setting,
  Violation,
  type World,
} from './world.ts';

/** How often each may happen on a way. What is not named does not. */
export type Budget = Readonly<Partial<Record<ActionKind, number>>>;

export interface Scope {
  readonly setting: Setting;
  readonly budget: Budget;
  /** Questions and answers under way at a time. */
  readonly inFlight: number;
  /** How long passes, by index, where time may. */
  readonly passes: readonly number[];
}

/** What can be done, by kind: all ways to choose whom and what. */
function choices(world: World, { setting, inFlight, passes }: Scope, kind: ActionKind): Action[] {
  const { messages, processes } = world;
  const slots = processes.map(({ slot }) => slot);
  switch (kind) {
    case 'request':
      return slots.flatMap(slot =>
        setting.under.flatMap((_, under) => setting.costs.map((_cost, cost): Action => [kind, slot, under, cost])),
      );
    case 'finish':
    case 'refund':
      return slots.flatMap(slot =>
        processes[slot]!.requests.filter(({ charge }) => charge !== null).map((_, i): Action => [kind, slot, i, 0]),
      );
    case 'ask': {
      const flying = messages.filter(({ kind: what }) => what === 'question' || what === 'answer').length;
      if (flying >= inFlight) return [];
      return slots.flatMap(slot => world.subjects.map((_, subject): Action => [kind, slot, subject, 0]));
    }
    case 'deliver':
    case 'lose':
    case 'double':
    case 'muteReply':
      return messages.map((_, i): Action => [kind, i, 0, 0]);
    case 'pass':
      return passes.map((length): Action => [kind, 0, length, 0]);
    case 'timeout':
    case 'giveUp':
      return slots.flatMap(slot => [0, 1].map((i): Action => [kind, slot, i, 0]));
    default:
      return slots.map((slot): Action => [kind, slot, 0, 0]);
  }
}

/** What needs no budget: the ordinary course. */
const free: readonly ActionKind[] = ['ask', 'deliver', 'finish'];

interface Node {
  readonly world: World;
  readonly left: Budget;
  readonly way: Way | null;
}

interface Way {
  readonly action: Action;
  readonly before: Way | null;
}

/**
 * Every state that can be reached, each once. `fairEach`: from every so many of them it is seen what comes at last.
 * `most`: no more states than these; then `isComplete` is false.
 */
export function exhaust(
  scope: Scope,
  {
    law = rules,
    fairEach = 40,
    most = Number.POSITIVE_INFINITY,
  }: { law?: Rules; fairEach?: number; most?: number } = {},
): { readonly failure: Failure | null; readonly states: number; readonly isComplete: boolean } {
  const seen = new Set<string>();
  const open: Node[] = [{ world: newWorld(scope.setting, law), left: scope.budget, way: null }];
  let states = 0;
  const failed = (way: Way | null, error: unknown) => {
    if (!(error instanceof Violation)) throw error;
    return {
      failure: { setting: scope.setting, actions: actionsOf(way), message: error.message },
      states,
      isComplete: false,
    };
  };
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    const { world, left, way } = node;
    if (++states > most) return { failure: null, states, isComplete: false };
    if (states % fairEach === 0) {
      try {
        fairEnd(clone(world), law);
      } catch (error) {
        return failed(way, error);
      }
    }
    const kinds = [...free, ...(Object.keys(left) as ActionKind[]).filter(kind => left[kind]! > 0)];
    for (const kind of kinds) {
      for (const action of choices(world, scope, kind)) {
        const next = clone(world);
        const onward: Way = { action, before: way };
        try {
          if (!act(next, action, law)) continue;
        } catch (error) {
          return failed(onward, error);
        }
        const rest = kind in left ? { ...left, [kind]: left[kind]! - 1 } : left;
        const key = keyOf(next, rest);
        if (seen.has(key)) continue;
        seen.add(key);
        open.push({ world: next, left: rest, way: onward });
      }
    }
  }
  return { failure: null, states, isComplete: true };
}

function actionsOf(way: Way | null): Action[] {
  const actions: Action[] = [];
  for (let each = way; each !== null; each = each.before) actions.push(each.action);
  return actions.reverse();
}

/** A copy with the same sharing. What is frozen never changes, and is shared. */
export function clone(world: World): World {
  const copies = new Map<object, object>();
  const copy = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
    const known = copies.get(value);
    if (known !== undefined) return known;
    if (Array.isArray(value)) {
      const list: unknown[] = [];
      copies.set(value, list);
      for (const each of value) list.push(copy(each));
      return list;
    }
    const object: Record<string, unknown> = {};
    copies.set(value, object);
    for (const [name, each] of Object.entries(value)) object[name] = copy(each);
    return object;
  };
  return copy({ ...world, setting: Object.freeze(world.setting) }) as World;
}

const ignored = new Set([
  'setting',
  'told',
  'ids',
  'sentAt',
  'kept',
  'definitions',
  'refusals',
  'limit',
  'bare',
  'ask',
  'id',
]);

/** The same for worlds that differ in nothing that matters: numbers of questions and requests do not. */
function keyOf(world: World, left: Budget): string {
  const places = new Map<object, number>();
  const names = new Map<number, number>();
  const nameOf = (id: number): number => {
    if (!names.has(id)) names.set(id, names.size);
    return names.get(id)!;
  };
  const write = (value: unknown): string => {
    if (typeof value !== 'object' || value === null) return String(value);
    const place = places.get(value);
    if (place !== undefined) return `#${place}`;
    places.set(value, places.size);
    if (value instanceof Set) return [...value].join(',');
    if (Array.isArray(value)) return `[${value.map(write).join(',')}]`;
    let text = '{';
    for (const [name, each] of Object.entries(value)) {
      if (name === 'ask' || (name === 'id' && 'asked' in value)) text += `${nameOf(each as number)};`;
      else if (!ignored.has(name)) text += `${write(each)};`;
    }
    return `${text}}`;
  };
  return hash('sha1', `${write(world)}${JSON.stringify(left)}`, 'base64');
}
