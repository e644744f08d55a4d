// The check for whoever has a GPU: are the engine xla's kernels and steps right there, is a run the
// same with any number of workers, does device memory stay flat; then how long a step takes, beside
// PyTorch and JAX where this machine's Python has them. Needs Node, the built tree and a plugin.
//
//   npm run check:gpu -- [--provider cuda] [--minutes 8] [--python python3] [--quick]

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { describeDevices, probePlugin, type PluginReport } from '../../cli/plugin-trial.js';
import { childEnvironment } from '../../shared/environment.js';
import { packageFile } from '../../shared/paths.js';
import { messageOf } from '../../shared/problems.js';
import { findPlugin, xlaProviders, type XlaProvider } from '../../worker/engine/xla/plugin.js';
import { runIn, testFolder, writeRuns } from '../support/tiny-run.js';
import { contendersOf, type Contender } from './contenders.js';

const { values: flags } = parseArgs({
  options: {
    provider: { type: 'string' },
    minutes: { type: 'string', default: '8' },
    python: { type: 'string', default: 'python3' },
    quick: { type: 'boolean', default: false },
  },
});
const isQuick = flags.quick;
const wanted = xlaProviders.find((one) => one === flags.provider);
if (flags.provider !== undefined && wanted === undefined)
  throw new Error(`--provider: given ${flags.provider}; allowed: ${xlaProviders.join(', ')}`);
const deadlineMs = performance.now() + Number(flags.minutes) * 60_000;
const secondsLeft = (): number => (deadlineMs - performance.now()) / 1000;

/** What a part of the check found; `failure` is missing when all is well. */
interface Part {
  readonly name: string;
  readonly seconds: number;
  readonly failure?: string;
  readonly found?: unknown;
}
const parts: Part[] = [];

async function check(name: string, run: () => Promise<unknown>): Promise<boolean> {
  const startMs = performance.now();
  const seconds = () => Math.round((performance.now() - startMs) / 100) / 10;
  let part: Part;
  try {
    part = { name, found: await run(), seconds: seconds() };
  } catch (error) {
    part = { name, failure: messageOf(error), seconds: seconds() };
  }
  parts.push(part);
  const words = part.failure ?? JSON.stringify(part.found);
  say(`${part.failure === undefined ? 'ok  ' : 'FAIL'} ${name} (${part.seconds} s): ${words}`);
  return part.failure === undefined;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Runs a program; gives the lines of its stdout. Throws with its last words when it fails. */
async function run(
  [program = '', ...args]: readonly string[],
  limitSeconds = 300,
  cwd?: string,
): Promise<string[]> {
  const timeout = Math.ceil(Math.max(1, Math.min(limitSeconds, secondsLeft())) * 1000);
  const child = spawn(program, args, {
    ...{ stdio: ['ignore', 'pipe', 'pipe'], env: childEnvironment(variables), timeout },
    ...{ killSignal: 'SIGKILL', cwd },
  });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  let complaint = '';
  child.stderr.on(
    'data',
    (data: Buffer) => (complaint = (complaint + data.toString()).slice(-600)),
  );
  const end = await new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) =>
      resolve(code === 0 ? undefined : `${signal ?? `exit code ${code}`}`),
    );
  });
  if (end === undefined) return lines;
  const words = [...lines.slice(-12), complaint].join('\n').slice(-1200);
  throw new Error(`${[program, ...args].join(' ')}: ${end}\n${words}`);
}

const node = (script: string, ...args: string[]) => [
  process.execPath,
  packageFile(script),
  ...args,
];
const lockstep = (...args: string[]) => node('bin/lockstep.js', ...args);

/** The last line of stdout, which is JSON. */
async function figures(command: readonly string[], limitSeconds?: number, cwd?: string) {
  const lines = await run(command, limitSeconds, cwd);
  return JSON.parse(lines.at(-1) ?? '') as Record<string, unknown>;
}

/** Test files by their names: how many tests passed. Those that were skipped are a failure. */
async function tests(files: readonly string[], pattern?: string): Promise<unknown> {
  const named = pattern === undefined ? [] : ['--name', pattern];
  const lines = await run(node('dist/test/run.js', ...files, ...named));
  const count = (what: string): number =>
    Number(lines.map((line) => new RegExp(`^ℹ ${what} (\\d+)`).exec(line)?.[1]).find(Boolean) ?? 0);
  // A test that the pattern does not mean counts as skipped.
  if ((pattern === undefined && count('skipped') > 0) || count('pass') === 0)
    throw new Error(`${count('pass')} tests ran and ${count('skipped')} were skipped`);
  return { passed: count('pass') };
}

/** A small run by 1 worker and by 2, which share the device: the same SHA-256. */
async function anyWorkers(): Promise<unknown> {
  const folder = testFolder();
  const engine = { name: 'xla', threads: 1 } as const;
  // Without features, whose weights come with another package.
  const phases = runIn(folder).phases.map((phase) => {
    const { features: _, ...loss } = phase.loss;
    return { ...phase, loss };
  });
  await writeRuns(folder, { run: { engine, phases } });
  const sums: unknown[] = [];
  for (const workers of ['1', '2']) {
    const args = ['train', '-f', 'run.yaml', '--workers', workers, '--run', `with-${workers}`];
    const last = await figures(lockstep(...args, '--json'), 200, folder);
    if (last['step'] !== 6) throw new Error(`the run ended as ${JSON.stringify(last)}`);
    sums.push(last['sha256']);
  }
  if (sums[0] !== sums[1]) throw new Error(`1 worker gave ${sums[0]}, 2 gave ${sums[1]}`);
  return { sha256: sums[0] };
}

/** The paper's networks, or small ones of their kind. */
const small = ['dataset.crop=32', 'generator.blocks=1', 'generator.channels=8']
  .concat('discriminator.channels=8')
  .flatMap((value) => ['--set', value]);
const bench = isQuick
  ? { spec: ['--preset', 'paper', ...small], steps: '1', steady: '20', batches: ['2'] }
  : { spec: ['--preset', 'paper'], steps: '10', steady: '200', batches: ['16', '8', '64'] };

/** MiB that 200 steps may add: what an allocator keeps, and no leaked vector of the step. */
const mostGrowthMib = 64;

async function steadyMemory(): Promise<unknown> {
  const steps = [...bench.spec, '--batch', '2', '--steps', bench.steady];
  const found = await figures(
    lockstep('bench', 'step', '--engine', 'xla', '--threads', '1', ...steps, '--json'),
  );
  const { device_first_mib, device_last_mib, rss_first_mib, rss_last_mib } = found;
  const { native_tensors } = found;
  const seen = { native_tensors, device_first_mib, device_last_mib, rss_first_mib, rss_last_mib };
  // Not said by plugins for CPUs: then it is NaN, and nothing has grown.
  const hasGrown = Number(device_last_mib) - Number(device_first_mib) > mostGrowthMib;
  if (native_tensors !== 0 || hasGrown) throw new Error(`memory grew: ${JSON.stringify(seen)}`);
  return seen;
}

const table: Record<string, unknown>[] = [];
const leftOut: string[] = [];

/** One row; a contender that this machine lacks is left out with its words. */
async function time({ name, command }: Contender, batch: string): Promise<void> {
  const what = `${name}, batch ${batch}`;
  if (secondsLeft() < 15) return void leftOut.push(`${what}: no time`);
  try {
    const counts = ['--batch', batch, '--threads', '1', '--steps', bench.steps];
    const found = await figures([...command, ...counts], 240);
    const { step_s, compute_s, update_s, compile_s, engine } = found;
    const row = { contender: name, batch, step_s, compute_s, update_s, compile_s, engine };
    table.push(row);
    say(`     ${what}: ${String(step_s)} s a step, ${String(compile_s)} s to compile`);
  } catch (error) {
    leftOut.push(`${what}: ${messageOf(error).split('\n').slice(0, 20).join(' ').slice(0, 300)}`);
    say(`     ${what}: left out`);
  }
}

const plugin = findPlugin(wanted);
const provider: XlaProvider = plugin.provider;
// Whatever computes with xla in the processes started here does so with this plugin.
const variables = {
  LOCKSTEP_XLA_PLUGIN: plugin.path,
  LOCKSTEP_LOG_LEVEL: 'silent',
  // Node's runner runs no tests in a process that one of its tests has started.
  NODE_TEST_CONTEXT: undefined,
};

let report: PluginReport | undefined;
await check('devices', async () => {
  const { report: found, failure } = await probePlugin(provider, plugin.path);
  if (found === undefined) throw new Error(failure);
  report = found;
  return `${found.platform}, PJRT ${found.version}: ${describeDevices(found)}`;
});
if (report !== undefined) {
  const pattern = isQuick ? 'conv|batch|leaves no buffer' : undefined;
  await check('kernels against the CPU', () => tests(['xla/xla-kernels'], pattern));
  if (!isQuick) await check('steps against onnx', () => tests(['xla/xla-step', 'xla/xla-updates']));
  await check('1 worker and 2', anyWorkers);
  await check(`memory over ${bench.steady} steps`, steadyMemory);
  await check('transfers', () =>
    figures(lockstep('bench', 'transfers', '--provider', provider, '--json')),
  );
  const contenders = await contendersOf({ ...bench, provider, python: flags.python, isQuick, run });
  for (const batch of bench.batches)
    for (const contender of contenders) await time(contender, batch);
}
const isFine = parts.every(({ failure }) => failure === undefined);
const machine = { node: process.version, provider, plugin: plugin.origin, devices: report };
const result = { date: new Date().toISOString(), isFine, ...machine, parts, table, leftOut };
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exitCode = isFine ? 0 : 1;
