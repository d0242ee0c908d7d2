import { describe, expect, test } from 'vitest';
import { actionTemplateFault, resourceTemplateFault } from '../../../src/core/rule.ts';
import { fill, readTemplate, slotsOf, slotText } from '../../../src/core/template.ts';

function slots(text: string): string[] {
  const reading = readTemplate(text);
  if (!reading.ok) throw new Error(reading.why);
  return slotsOf(reading.template).map(({ kind, name }) => `${kind} ${name}`);
}

describe('a template', () => {
  test.each<[string, string[]]>([
    ['db.get', []],
    ['db.{action}', ['capture action']],
    ['{param.cmd}', ['parameter cmd']],
    ['db/{param.database}/{table}', ['parameter database', 'capture table']],
    ['{param.params.0}{param.a-b.c_d}', ['parameter params.0', 'parameter a-b.c_d']],
    ['{param}', ['capture param']],
    ['{params}', ['capture params']],
  ])('%s has its slots in order', (text, expected) => {
    expect(slots(text)).toEqual(expected);
    const reading = readTemplate(text);
    if (reading.ok) expect(fill(reading.template, slotText)).toBe(text);
  });

  test.each([
    '{',
    '}',
    '{}',
    '{{a}}',
    '{a',
    'a}',
    '{a}}',
    '{1a}',
    '{a.b}',
    '{a b}',
    '{param.}',
    '{param..a}',
    '{param.a.}',
    '{param.a b}',
    '{param.*}',
    '{Param.a}',
    `{param.${'a'.repeat(257)}}`,
    '{__proto__.x}',
  ])('%s is none', text => {
    expect(readTemplate(text).ok).toBe(false);
    expect(actionTemplateFault(text)).not.toBeNull();
    expect(resourceTemplateFault(text)).not.toBeNull();
  });

  test.each(['a:{x}', '{x}', '{x}{y}', 'a.b', '1{x}'])('%s can name an action', text => {
    expect(actionTemplateFault(text)).toBeNull();
  });
  test.each(['', '*', 'a.*', 'a.*.{x}', 'a..{x}', '.{x}', '{x}.', ':', 'a b{x}', '12', `${'a'.repeat(256)}{x}`])(
    '%j never names an action',
    text => {
      expect(actionTemplateFault(text)).not.toBeNull();
    },
  );
  test.each(['', '*', 'db/*', 'db*', '/db', 'db/', 'a//{x}', 'a\n', `${'a'.repeat(256)}{x}`])(
    '%j never names a resource',
    text => {
      expect(resourceTemplateFault(text)).not.toBeNull();
    },
  );
});
