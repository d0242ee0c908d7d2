import { type Form, type MessageHead, readForm } from '../../src/core/form.ts';
import type { Route } from '../../src/core/route.ts';
import { readTarget, type Target } from '../../src/core/target.ts';

/** The head of a good request, changed. */
export const aHead = (more: Partial<MessageHead> = {}): MessageHead => ({
  method: 'GET',
  target: '/',
  version: '1.1',
  fields: ['Host', 'api.example.com'],
  ...more,
});

/** A well-formed request; `fields` stand behind its Host. */
export function aForm(target = '/', fields: readonly string[] = [], more: Partial<MessageHead> = {}): Form {
  const reading = readForm(aHead({ target, fields: ['Host', 'api.example.com', ...fields], ...more }));
  if (!reading.ok) throw new Error(reading.fault.why);
  return reading.form;
}

export function aTarget(raw: string): Target {
  const reading = readTarget(raw);
  if (!reading.ok) throw new Error(`${raw}: ${reading.why}`);
  return reading.target;
}

/** A route that needs a token and no permission. */
export const aRoute = (pattern: string, more: Partial<Route> = {}): Route => ({
  pattern,
  hosts: [],
  methods: null,
  access: 'token',
  upstream: 'widgets',
  require: null,
  allow: new Set(),
  cors: null,
  forwardCredential: false,
  forwardHeaders: new Set(),
  stripSegments: 0,
  maxBody: null,
  ...more,
});
