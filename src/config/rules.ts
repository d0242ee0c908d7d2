import { actionFault } from '../core/permissions.ts';
import { captureNames, readCommand } from '../core/rule.ts';
import { fill, readTemplate, type Slot, slotsOf, slotText, type Template } from '../core/template.ts';
import type { Problems } from './problems.ts';
import type { RouteDraft, Surroundings } from './routes.ts';
import type { File } from './schema.ts';
import { itemKey, memberKey } from './tree.ts';
import type { Draft } from './walk.ts';

/** `require`, `resource`, `commands` and `inspect_body` of a route: what they mean to each other. */

/** A text with slots, and where it stands. */
interface Written {
  readonly key: string;
  readonly template: Template;
}

export function checkRule(draft: RouteDraft, key: string, { credentials }: Surroundings, problems: Problems): void {
  const { access = 'token', require, resource, commands } = draft;
  if (require !== undefined && access !== 'token') {
    problems.add(
      `${key}.require`,
      `stands beside access: ${access}, which lets requests without a token pass; allowed: with access: token`,
    );
  }
  if (draft.inspect_body !== undefined && access === 'public') {
    problems.add(
      `${key}.inspect_body`,
      'stands beside access: public, which judges nothing; allowed: with access: token or optional',
    );
  }
  const lacksRequire = require === undefined && !problems.touch(`${key}.require`);
  if (lacksRequire && resource !== undefined) {
    problems.add(`${key}.resource`, 'stands without require, so that nothing is asked for it; allowed: with require');
  }

  const actions = writtenActions(require, `${key}.require`);
  const texts = resource === undefined ? actions : [...actions, ...written(resource, `${key}.resource`)];
  const captures = draft.path === undefined ? null : captureNames(draft.path);
  const tokenNames = new Set(
    credentials.flatMap(place => (place.kind === 'query' || place.kind === 'form' ? [place.name.toLowerCase()] : [])),
  );
  for (const text of texts) {
    for (const slot of slotsOf(text.template)) {
      const why = slotFault(slot, captures, tokenNames);
      if (why !== null) problems.add(text.key, `has ${slotText(slot)}, ${why}`);
    }
  }
  if (commands !== undefined) checkCommands(commands, actions, key, problems);
}

function slotFault({ kind, name }: Slot, captures: readonly string[] | null, tokenNames: ReadonlySet<string>) {
  if (kind === 'parameter') {
    // It would stand in the name of a permission, which is answered and forwarded.
    const isToken = tokenNames.has(name.split('.')[0]!.toLowerCase());
    return isToken ? 'which carries the token; allowed: another parameter' : null;
  }
  if (captures === null || captures.includes(name)) return null;
  const known = [...captures.map(capture => `{${capture}}`), '{param.NAME}'];
  return `which the path does not name; allowed: ${known.join(', ')}`;
}

function checkCommands(
  commands: NonNullable<RouteDraft['commands']>,
  actions: readonly Written[],
  key: string,
  problems: Problems,
): void {
  if (problems.touch(`${key}.require`)) return;
  const slots = new Set(actions.flatMap(({ template }) => slotsOf(template).map(slotText)));
  if (slots.size !== 1) {
    const what = slots.size === 0 ? 'require has no {…}' : `require has ${[...slots].join(' and ')}`;
    problems.add(`${key}.commands`, `stands for one value, and ${what}; allowed: exactly one {…} in require`);
    return;
  }
  for (const [command, action] of Object.entries(commands)) {
    if (action === undefined) continue;
    for (const { template } of actions) {
      const whole = fill(template, () => readCommand(action).action);
      const why = actionFault(whole);
      if (why === null) continue;
      const message = `${JSON.stringify(action)} makes an action that ${why}; allowed: what makes an action of require`;
      problems.add(memberKey(`${key}.commands`, command), message);
      break;
    }
  }
}

function writtenActions(require: RouteDraft['require'], key: string): readonly Written[] {
  if (require === undefined) return [];
  if (typeof require === 'string') return written(require, key);
  const isAny = 'any' in require;
  const list = (isAny ? require.any : require) as readonly (string | undefined)[] | undefined;
  const listKey = isAny ? `${key}.any` : key;
  return (list ?? []).flatMap((text, i) => (text === undefined ? [] : written(text, itemKey(listKey, i))));
}

/** What does not read well was found before. */
function written(text: string, key: string): readonly Written[] {
  const reading = readTemplate(text);
  return reading.ok ? [{ key, template: reading.template }] : [];
}

/** A token in a body that nobody looks into would never be found. */
export function checkFormCredentials(
  credentials: Draft<File['credentials']>,
  routes: Draft<File['routes']>,
  problems: Problems,
): void {
  const inspects = routes.some((route, i) => {
    return route?.inspect_body !== undefined || problems.touch(`${itemKey('routes', i)}.inspect_body`);
  });
  if (inspects) return;
  for (const [i, credential] of credentials.entries()) {
    if (credential?.form === undefined) continue;
    const message = 'is looked for in bodies, and no route inspects them; allowed: with inspect_body on a route';
    problems.add(`${itemKey('credentials', i)}.form`, message);
  }
}
