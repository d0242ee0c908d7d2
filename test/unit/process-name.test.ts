import { expect, test } from 'vitest';
import { processNameOf } from '../../src/app-values.ts';

test.each([
  ['web-1.example.org', 'web-1.example.org-0a1b2c3d'],
  ['My Laptop/ä{x}', 'My-Laptop---x--0a1b2c3d'],
  ['.-hidden', 'hidden-0a1b2c3d'],
  ['', 'postern-0a1b2c3d'],
  ['日本', 'postern-0a1b2c3d'],
  ['h'.repeat(300), `${'h'.repeat(40)}-0a1b2c3d`],
])('on the machine "%s" a process is called %s', (host, name) => {
  expect(processNameOf(host, '0a1b2c3d')).toBe(name);
});
