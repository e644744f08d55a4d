// Runs the tests: node's own runner over the compiled files, layer by layer (a layer is a folder of
// test/), each with limits of its own, then the slowest tests and files and one closing summary.
//
//   node dist/test/run.js [quick|long|LAYER|PART-OF-A-PATH]... [--except WORD]... [--name PATTERN]
//     [--slowest COUNT]

import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { prepareSdk, setNativeEnvironment } from '../shared/environment.js';
import { packageFile } from '../shared/paths.js';

/**
 * What a layer may use. Tests that hold real processes to limits of time run alone: two at a time
 * disturb each other.
 */
interface Layer {
  readonly name: string;
  /** `npm test` runs the quick ones, `npm run test:all` all. */
  readonly pace: 'quick' | 'long';
  readonly concurrency: number;
  /** Limit of one file, and of each test in it. */
  readonly timeoutMs: number;
}

const cores = Math.min(4, availableParallelism());
const few = Math.max(1, Math.floor(cores / 2));
const layers: readonly Layer[] = [
  { name: 'unit', pace: 'quick', concurrency: cores, timeoutMs: 120_000 },
  { name: 'property', pace: 'quick', concurrency: cores, timeoutMs: 120_000 },
  { name: 'sim', pace: 'quick', concurrency: cores, timeoutMs: 180_000 },
  { name: 'integration', pace: 'quick', concurrency: cores, timeoutMs: 300_000 },
  { name: 'timed', pace: 'quick', concurrency: few, timeoutMs: 300_000 },
  { name: 'tensorflow', pace: 'long', concurrency: cores, timeoutMs: 600_000 },
  { name: 'xla', pace: 'long', concurrency: cores, timeoutMs: 600_000 },
  { name: 'servers', pace: 'long', concurrency: few, timeoutMs: 300_000 },
  { name: 'reliability', pace: 'long', concurrency: 1, timeoutMs: 900_000 },
  { name: 'e2e', pace: 'long', concurrency: 1, timeoutMs: 900_000 },
  { name: 'kubernetes', pace: 'long', concurrency: 1, timeoutMs: 900_000 },
  { name: 'nodes', pace: 'long', concurrency: 1, timeoutMs: 1_800_000 },
];

/** An event of node's runner, as far as it matters here. */
interface TestEvent {
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

const root = fileURLToPath(new URL('.', import.meta.url));

/** Whether a word means a file: by its layer's pace or name, else by any part of its path. */
function means(word: string, path: string, { name, pace }: Layer): boolean {
  if (word === 'quick' || word === 'long') return word === pace;
  return layers.some((layer) => layer.name === word) ? word === name : path.includes(word);
}

/** The test files of a layer that one of the `wanted` words means and none of `except`, sorted. */
function filesOf(layer: Layer, wanted: readonly string[], except: readonly string[]): string[] {
  const isOf = (words: readonly string[], file: string): boolean =>
    words.some((word) => means(word, relative(root, file), layer));
  return (
    readdirSync(join(root, layer.name), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.test.js'))
      // What is left of a test that was moved or deleted since is none.
      .filter((file) => existsSync(packageFile(`test/${layer.name}/${file.slice(0, -3)}.ts`)))
      .map((file) => join(root, layer.name, file))
      .filter((file) => isOf(wanted, file) && !isOf(except, file))
      .sort()
  );
}

/** Totals of the closing summary ("tests 12", "pass 11", ...), added up over the layers. */
function createSummary() {
  const totals = new Map<string, number>();
  let last: TestEvent | undefined;
  return {
    /** True when the event was a part of a layer's summary, and is kept for the end. */
    keeps({ type, data }: TestEvent): boolean {
      if (type === 'test:summary' && data['file'] === undefined) {
        last = { type, data };
        return true;
      }
      const total = /^([a-z_]+) ([\d.]+)$/.exec(String(data['message'] ?? ''));
      if (type !== 'test:diagnostic' || data['nesting'] !== 0 || total === null) return false;
      const [, name = '', value] = total;
      totals.set(name, (totals.get(name) ?? 0) + Number(value));
      return true;
    },
    *events(): Generator<TestEvent> {
      for (const [name, value] of totals) yield diagnostic(`${name} ${value}`);
      if (last !== undefined) yield last;
    },
  };
}

function diagnostic(message: string): TestEvent {
  return { type: 'test:diagnostic', data: { nesting: 0, message } };
}

/** The tests, and the files of tests, that took longest. */
function createSlowest(count: number) {
  const tests: (readonly [name: string, ms: number])[] = [];
  const files = new Map<string, number>();
  return {
    sees({ type, data }: TestEvent): void {
      if (type !== 'test:pass' && type !== 'test:fail') return;
      const details = data['details'] as { duration_ms?: number; type?: string } | undefined;
      const ms = details?.duration_ms;
      if (ms === undefined) return;
      const file = relative(root, String(data['file'] ?? '')).replace(/\.js$/, '.ts');
      if (data['nesting'] === 0) files.set(file, (files.get(file) ?? 0) + ms);
      // A suite is the sum of its tests.
      if (details?.type !== 'suite') tests.push([`${file}: ${String(data['name'])}`, ms]);
    },
    *events(): Generator<TestEvent> {
      for (const [name, ms] of [tests, [...files]].flatMap((all) =>
        all.sort(([, a], [, b]) => b - a).slice(0, count),
      ))
        yield diagnostic(`${(ms / 1000).toFixed(1).padStart(6)} s  ${name}`);
    },
  };
}

/** The files under way end too, with what they have started, when the runner is to end. */
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    process.exitCode = 1;
    interrupted.abort();
  });

/** The events of all layers, one after the other, as if they were one run. */
async function* runLayers(plan: readonly (Layer & { files: string[] })[], name?: string) {
  const summary = createSummary();
  const slowest = createSlowest(Number(values.slowest));
  for (const { files, concurrency, timeoutMs: timeout } of plan) {
    const { signal } = interrupted;
    if (signal.aborted) break;
    const options = { files, concurrency, timeout, signal };
    const events = run(name === undefined ? options : { ...options, testNamePatterns: [name] });
    for await (const event of events as AsyncIterable<TestEvent>) {
      if (event.type === 'test:fail' && isFailure(event)) process.exitCode = 1;
      slowest.sees(event);
      if (!summary.keeps(event)) yield event;
    }
  }
  yield* slowest.events();
  yield* summary.events();
}

function isFailure({ data }: TestEvent): boolean {
  return data['todo'] === undefined || data['todo'] === false;
}

prepareSdk();
// As in bin/lockstep.js.
setNativeEnvironment({ forced: { ORT_DISABLE_TELEMETRY: '1' }, defaults: {} });
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    name: { type: 'string' },
    except: { type: 'string', multiple: true, default: [] },
    slowest: { type: 'string', default: '10' },
  },
});
const wanted = positionals.length === 0 ? ['quick'] : positionals;
const plan = layers
  .map((layer) => ({ ...layer, files: filesOf(layer, wanted, values.except) }))
  .filter(({ files }) => files.length > 0);
if (plan.length === 0) {
  process.stderr.write(`no test file matches ${positionals.join(' ')}\n`);
  process.exitCode = 1;
} else {
  Readable.from(runLayers(plan, values.name)).compose(new spec()).pipe(process.stdout);
}
