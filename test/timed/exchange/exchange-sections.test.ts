// Whole steps over real gRPC: exact sums, gradients in both precisions and gathered factors, of
// workers that hand over each piece as soon as they have it. To the bit, against plain loops.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import {
  foldTree,
  shareOf,
  subtreesInside,
  type TreeNode,
} from '../../../shared/plan/reduction.js';
import {
  chunkBytes,
  placesOf,
  type ExchangePrecision,
  type StepShape,
} from '../../../shared/plan/step-vector.js';
import type { ExchangeWorld } from '../../../worker/exchange/exchange.js';
import type { Place } from '../../../worker/exchange/memory.js';
import {
  leafValues,
  vectorsFor,
  withWorkers,
  worldOf,
  type TestWorker,
} from './exchange-worlds.js';

const microShards = 7;

/** The longest comes last, and it is in no multiple of anything. */
const shapes: readonly StepShape[] = [
  { exact: 3, gradients: 0, factors: 5 },
  { exact: 1, gradients: 70_001, factors: 0 },
  { exact: 19, gradients: chunkBytes / 2 + 12_345, factors: chunkBytes / 4 + 77 },
];

/** Rounds float32 values in place: to bfloat16 nearest even, where that is the precision. */
function round(values: Float32Array, precision: ExchangePrecision): Float32Array {
  if (precision === 'float32') return values;
  const bits = new Uint32Array(values.buffer);
  for (let i = 0; i < bits.length; i++) {
    const [upper, lower] = [bits[i] >>> 16, bits[i] & 0xffff];
    const isUp = lower > 0x8000 || (lower === 0x8000 && upper % 2 === 1);
    bits[i] = (upper + (isUp ? 1 : 0)) * 65_536;
  }
  return values;
}

/** What was computed once: all ranks need the same. */
const known = new Map<string, Float32Array>();

function once(key: string, compute: () => Float32Array): Float32Array {
  const values = known.get(key) ?? compute();
  known.set(key, values);
  return values;
}

/** Rounded values as they lie in memory. */
function bytesOf(values: Float32Array, precision: ExchangePrecision): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  if (precision === 'float32') return new Uint8Array(bits.slice().buffer);
  const uppers = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) uppers[i] = bits[i] >>> 16;
  return new Uint8Array(uppers.buffer);
}

/** The leaves' values of a section, each section with numbers of its own. */
const sections = { exact: 0, gradients: 100, factors: 200 } as const;

function leafOf(
  section: keyof typeof sections,
  step: number,
  leaf: number,
  count: number,
  precision: ExchangePrecision,
): Float32Array {
  return once(`${section} ${step} ${leaf} ${count} ${precision}`, () =>
    round(leafValues(step + sections[section], leaf, count), precision),
  );
}

/** Every node of the tree is rounded. */
function sumOf(
  section: 'exact' | 'gradients',
  step: number,
  node: TreeNode,
  count: number,
  precision: ExchangePrecision,
): Float32Array {
  return foldTree(
    node,
    ({ start, end }) =>
      end - start === 1 ? leafOf(section, step, start, count, precision) : undefined,
    (left, right) => {
      const sum = new Float32Array(count);
      for (let i = 0; i < count; i++) sum[i] = left[i] + right[i];
      return round(sum, precision);
    },
  );
}

function meanOf(
  section: 'exact' | 'gradients',
  step: number,
  count: number,
  precision: ExchangePrecision,
): Uint8Array {
  const mean = once(`mean ${section} ${step} ${count} ${precision}`, () => {
    const root = sumOf(section, step, { start: 0, end: microShards }, count, precision);
    const share = Math.fround(1 / microShards);
    return round(
      root.map((value) => value * share),
      precision,
    );
  });
  return bytesOf(mean, precision);
}

function at({ memory }: ExchangeWorld, place: Place, bytes: number): Uint8Array {
  return new Uint8Array(memory.buffer, place, bytes);
}

function write(world: ExchangeWorld, place: Place, bytes: Uint8Array): void {
  at(world, place, bytes.length).set(bytes);
}

function assertSame(actual: Uint8Array, expected: Uint8Array, what: string): void {
  assert.ok(Buffer.compare(actual, expected) === 0, `${what}: bits differ`);
}

/** Takes a step as a worker does: leaf by leaf, and other messages come in between. */
async function takeStep(
  { exchange }: TestWorker,
  world: ExchangeWorld,
  step: number,
  shape: StepShape,
): Promise<void> {
  const { precision, rank } = world;
  const places = placesOf(shape, precision, microShards);
  const share = shareOf(rank, world.world.members.length, microShards);
  const subtrees = subtreesInside(share, microShards);
  const result = world.results[step % 2 === 0 ? 0 : 1];
  const reduced = exchange.begin(step, shape);
  for (let leaf = share.start; leaf < share.end; leaf++) {
    for (let i = 0; i < 3 * rank; i++) await setImmediate();
    const factors = leafOf('factors', step, leaf, shape.factors, precision);
    write(world, result + places.leaves[leaf].start, bytesOf(factors, precision));
    exchange.publish(step, leaf);
    const index = subtrees.findIndex(({ end }) => end === leaf + 1);
    if (index < 0) continue;
    const place = world.contributions[index];
    at(world, place, world.contributionBytes).fill(0xff);
    const exact = sumOf('exact', step, subtrees[index], shape.exact, 'float32');
    write(world, place + places.exact.start, bytesOf(exact, 'float32'));
    const gradients = sumOf('gradients', step, subtrees[index], shape.gradients, precision);
    write(world, place + places.gradients.start, bytesOf(gradients, precision));
    exchange.contribute(step, index);
  }
  await reduced;
  assert.equal(exchange.gathered.includes(step), shape.factors > 0);
}

function check(world: ExchangeWorld, step: number, shape: StepShape): void {
  const { precision } = world;
  const places = placesOf(shape, precision, microShards);
  const result = world.results[step % 2 === 0 ? 0 : 1];
  const found = (range: { start: number; end: number }): Uint8Array =>
    at(world, result + range.start, range.end - range.start);
  const what = `rank ${world.rank}, step ${step}`;
  const exact = meanOf('exact', step, shape.exact, 'float32');
  assertSame(found(places.exact), exact, `${what}, exact`);
  const gradients = meanOf('gradients', step, shape.gradients, precision);
  assertSame(found(places.gradients), gradients, `${what}, gradients`);
  places.leaves.forEach((block, leaf) => {
    const factors = leafOf('factors', step, leaf, shape.factors, precision);
    assertSame(found(block), bytesOf(factors, precision), `${what}, leaf ${leaf}`);
  });
}

for (const precision of ['float32', 'bfloat16'] as const)
  for (const count of [1, 2, 3, 5])
    test(`${count} workers with ${precision} end every step with the bits of plain loops`, async () => {
      await withWorkers(count, {}, async (workers) => {
        const world = worldOf(
          1,
          workers.map(({ address }) => address),
        );
        const worlds: ExchangeWorld[] = workers.map((_, rank) => {
          const vectors = vectorsFor(rank, count, microShards, shapes[2], precision);
          return { world, rank, ...vectors };
        });
        await Promise.all(workers.map(({ exchange }, rank) => exchange.join(worlds[rank])));
        // Each at its own pace: nobody waits for the others between two steps.
        await Promise.all(
          workers.map(async (worker, rank) => {
            for (const [i, shape] of shapes.entries()) {
              await takeStep(worker, worlds[rank], 8 + i, shape);
              check(worlds[rank], 8 + i, shape);
            }
          }),
        );
        for (const { lost } of workers) assert.deepEqual(lost, []);
      });
    });
