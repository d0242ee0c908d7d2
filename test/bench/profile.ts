import { readFileSync } from 'node:fs';

interface Node {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}

/** Self time by function and by room of a V8 profile, the largest first. */
export function renderProfile(file: string): string {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8')) as {
    nodes: Node[];
    samples: number[];
    timeDeltas: number[];
  };
  const byId = new Map(nodes.map(node => [node.id, node]));
  const byFunction = new Map<string, number>();
  const byRoom = new Map<string, number>();
  let total = 0;
  for (const [i, id] of samples.entries()) {
    const { functionName, url, lineNumber } = byId.get(id)!.callFrame;
    if (functionName === '(idle)') continue;
    const time = timeDeltas[i]!;
    total += time;
    add(byFunction, `${functionName || '(anonymous)'} ${url.split('/').slice(-2).join('/')}:${lineNumber + 1}`, time);
    add(byRoom, roomOf(url, functionName), time);
  }
  if (total === 0) return '';
  const top = (map: Map<string, number>, count: number): string =>
    [...map]
      .sort((a, b) => b[1] - a[1])
      .slice(0, count)
      .map(([name, time]) => `| ${((100 * time) / total).toFixed(1)} % | ${name} |`)
      .join('\n');
  return `\nBy room:\n\n| share | room |\n| --- | --- |\n${top(byRoom, 12)}\n\nBy function:\n\n| share | function |\n| --- | --- |\n${top(byFunction, 30)}`;
}

function add(map: Map<string, number>, name: string, time: number): void {
  map.set(name, (map.get(name) ?? 0) + time);
}

function roomOf(url: string, functionName: string): string {
  const own = /\/dist\/([^/]+)\//.exec(url);
  if (own !== null) return `postern: ${own[1]}`;
  const library = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url);
  if (library !== null) return library[1]!;
  if (url.startsWith('node:')) return 'node';
  if (url.startsWith('wasm')) return 'undici: parser';
  return functionName.startsWith('(') ? functionName : 'runtime and system calls';
}
