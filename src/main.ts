#!/usr/bin/env node
// An older Node cannot even read the rest: nothing is imported before its version is known.
const needed = 26;
if (Number.parseInt(process.versions.node, 10) < needed) {
  process.stderr.write(`postern needs Node ${needed} or later; this is Node ${process.versions.node}\n`);
  process.exitCode = 1;
} else {
  // Under it libraries print what they send, passwords included.
  delete process.env['DEBUG'];
  const { run } = await import('./cli/run.ts');
  process.exitCode = await run(process.argv.slice(2));
}
