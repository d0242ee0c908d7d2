import { idPattern } from '../core/token.ts';
import type { Method, Operation } from './operation.ts';

export type RouteMatch =
  | { readonly kind: 'found'; readonly operation: Operation; readonly params: Readonly<Record<string, string>> }
  /** The path exists; these methods do. */
  | { readonly kind: 'method'; readonly allow: readonly string[] }
  | { readonly kind: 'none' };

interface Path {
  /** A text, or the name of an id. */
  readonly steps: readonly ({ readonly text: string } | { readonly param: string })[];
  readonly methods: ReadonlyMap<Method, Operation>;
}

/** Finds operations by method and path. HEAD is there wherever GET is. */
export class Router {
  readonly #paths: readonly Path[];

  constructor(operations: readonly Operation[]) {
    const byPath = Map.groupBy(operations, operation => operation.path);
    this.#paths = [...byPath].map(([path, group]) => ({
      steps: path
        .slice(1)
        .split('/')
        .map(step => (step.startsWith('{') ? { param: step.slice(1, -1) } : { text: step })),
      methods: new Map(group.map(operation => [operation.method, operation])),
    }));
  }

  /** `segments`: the path's, decoded once. */
  find(method: string, segments: readonly string[]): RouteMatch {
    for (const { steps, methods } of this.#paths) {
      const params = paramsOf(steps, segments);
      if (params === null) continue;
      const operation = methods.get((method === 'HEAD' ? 'GET' : method) as Method);
      if (operation !== undefined) return { kind: 'found', operation, params };
      return {
        kind: 'method',
        allow: [...methods.keys()].flatMap(known => (known === 'GET' ? ['GET', 'HEAD'] : known)),
      };
    }
    return { kind: 'none' };
  }
}

/**
 * What stands in the places of ids; null when the path is another one. What cannot be an id names nothing: no empty
 * segment, encoded slash or semicolon gets past this, so that nothing here can be read in two ways.
 */
function paramsOf(steps: Path['steps'], segments: readonly string[]): Record<string, string> | null {
  if (steps.length !== segments.length) return null;
  const params: Record<string, string> = {};
  for (const [i, step] of steps.entries()) {
    const segment = segments[i]!;
    if ('text' in step) {
      if (step.text !== segment) return null;
    } else if (idPattern.test(segment)) params[step.param] = segment;
    else return null;
  }
  return params;
}
