// Runs the tests: node's own runner over the compiled files, layer by layer (unit, property,
// sim, integration, e2e, kubernetes), each with limits of its own, and one closing summary over
// all of them.
//
//   node dist/test/run.js [LAYER or part of a file's path]... [--name PATTERN]

import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { silenceSdkNotice } from '../shared/environment.js';

/** What a layer may use. Tests of real processes run alone: two at a time disturb each other. */
interface Layer {
  readonly name: string;
  readonly concurrency: number;
  /** Limit of one file, and of each test in it. */
  readonly timeoutMs: number;
  /** Runs only when it is named. */
  readonly isOnDemand?: boolean;
}

const cores = Math.min(4, availableParallelism());
const layers: readonly Layer[] = [
  { name: 'unit', concurrency: cores, timeoutMs: 120_000 },
  { name: 'property', concurrency: cores, timeoutMs: 120_000 },
  { name: 'sim', concurrency: cores, timeoutMs: 180_000 },
  { name: 'integration', concurrency: Math.max(1, Math.floor(cores / 2)), timeoutMs: 300_000 },
  { name: 'e2e', concurrency: 1, timeoutMs: 900_000 },
  { name: 'kubernetes', concurrency: 1, timeoutMs: 900_000, isOnDemand: true },
];

/** An event of node's runner, as far as it matters here. */
interface TestEvent {
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The test files of a layer whose path contains one of the filters, sorted. */
function filesOf({ name, isOnDemand }: Layer, filters: readonly string[]): string[] {
  const isNamed = filters.some((filter) => filter.startsWith(`${name}/`));
  if (isOnDemand === true && !isNamed) return [];
  const root = fileURLToPath(new URL('.', import.meta.url));
  const found = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.js'))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => relative(root, file).startsWith(`${name}/`));
  const wanted = (file: string): boolean =>
    filters.length === 0 || filters.some((filter) => matches(relative(root, file), filter));
  return found.filter(wanted).sort();
}

/** A layer's name matches the layer, anything else any part of a path. */
function matches(path: string, filter: string): boolean {
  const isLayer = layers.some(({ name }) => filter === `${name}/`);
  return isLayer ? path.startsWith(filter) : path.includes(filter);
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
      for (const [name, value] of totals)
        yield { type: 'test:diagnostic', data: { nesting: 0, message: `${name} ${value}` } };
      if (last !== undefined) yield last;
    },
  };
}

/** The events of all layers, one after the other, as if they were one run. */
async function* runLayers(filters: readonly string[], name: string | undefined) {
  const summary = createSummary();
  for (const layer of layers) {
    const files = filesOf(layer, filters);
    if (files.length === 0) continue;
    const options = { files, concurrency: layer.concurrency, timeout: layer.timeoutMs };
    const events = run(name === undefined ? options : { ...options, testNamePatterns: [name] });
    for await (const event of events as AsyncIterable<TestEvent>) {
      if (event.type === 'test:fail' && isFailure(event)) process.exitCode = 1;
      if (!summary.keeps(event)) yield event;
    }
  }
  yield* summary.events();
}

function isFailure({ data }: TestEvent): boolean {
  return data['todo'] === undefined || data['todo'] === false;
}

silenceSdkNotice();
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { name: { type: 'string' } },
});
const filters = positionals.map((filter) =>
  layers.some((layer) => layer.name === filter) ? `${filter}/` : filter,
);
if (layers.every((layer) => filesOf(layer, filters).length === 0)) {
  process.stderr.write(`no test file matches ${positionals.join(' ')}\n`);
  process.exitCode = 1;
} else {
  Readable.from(runLayers(filters, values.name)).compose(new spec()).pipe(process.stdout);
}
