#!/usr/bin/env node
// The `lockstep` command. Plain JavaScript, so that it can say what is missing before anything
// compiled is loaded: too old a Node, or a checkout that was never built.

import { existsSync } from 'node:fs';
import { setImmediate, setTimeout } from 'node:timers';

// ONNX Runtime reports its use over the internet unless it finds this while it loads; processes and
// threads that are started from here inherit it.
process.env.ORT_DISABLE_TELEMETRY = '1';

const cli = new URL('../dist/cli/', import.meta.url);
const [major, minor] = process.versions.node.split('.').map(Number);

if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`lockstep needs Node 20.19 or newer; this is ${process.versions.node}\n`);
  process.exitCode = 1;
} else if (!existsSync(new URL('main.js', cli))) {
  process.stderr.write('lockstep is not built yet; run: npm run build\n');
  process.exitCode = 1;
} else {
  // Before all else, which takes a second to load.
  (await import(new URL('interruptions.js', cli))).listenForInterruptions();
  const { main: run } = await import(new URL('main.js', cli));
  // A signal that came meanwhile is heard before the command does anything.
  await new Promise((resolve) => setImmediate(resolve));
  process.exitCode = await run(process.argv.slice(2));
  // A command that has ended is not kept alive by a connection whose other end is frozen.
  setTimeout(() => process.exit(), 1000).unref();
}
