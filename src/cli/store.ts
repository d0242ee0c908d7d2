import type { Group } from './command.ts';
import { backup } from './store-backup.ts';
import { check } from './store-check.ts';
import { migrate } from './store-migrate.ts';

export const storeCommands: Group = {
  summary: 'The store: look at it, back it up, move it, restore it',
  commands: { check, backup, migrate },
};
