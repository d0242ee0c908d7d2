import { noProofs } from '../../src/core/constraint.ts';
import type { Evidence, Question } from '../../src/core/decide.ts';
import { type Form, type MessageHead, readForm } from '../../src/core/form.ts';
import { Parameters } from '../../src/core/parameters.ts';
import type { Route } from '../../src/core/route.ts';
import { Rule } from '../../src/core/rule.ts';
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
  resource: null,
  commands: null,
  inspectBody: null,
  mode: 'enforce',
  cost: { units: 1, header: null },
  allow: new Set(),
  cors: null,
  forwardCredential: false,
  forwardHeaders: new Set(),
  stripSegments: 0,
  maxBody: null,
  ...more,
});

/** What is to be decided of a request on a route: the evidence is a test's to give. */
export function aQuestion(form: Form, route: Route, evidence: Evidence, more: Partial<Question> = {}): Question {
  const parameters = new Parameters(form.target.query, { kind: 'none' });
  return {
    form,
    route,
    reading: { kind: 'none' },
    evidence,
    claim: new Rule(route).claim([], parameters),
    parameters,
    proofs: noProofs,
    client: '192.0.2.1',
    origin: 'https://api.example.com',
    now: 0,
    ...more,
  };
}
