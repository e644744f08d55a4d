// The kernels of the exchange against a deliberately simple second version: one value at a time, in
// plain JavaScript. And the memory that they work on, in two threads.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { ExchangeMemory, type Place } from '../../../worker/exchange/memory.js';

const { fround } = Math;
const word = new DataView(new ArrayBuffer(4));

/** The bits of a float32 value as bfloat16, nearest even; any NaN is one. */
function toBits16(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  word.setFloat32(0, value);
  const bits = word.getUint32(0);
  const [upper, lower] = [bits >>> 16, bits & 0xffff];
  const isUp = lower > 0x8000 || (lower === 0x8000 && upper % 2 === 1);
  return upper + (isUp ? 1 : 0);
}

function fromBits16(bits: number): number {
  word.setUint32(0, bits * 65_536);
  return word.getFloat32(0);
}

const round16 = (value: number): number => fromBits16(toBits16(value));

/** Values of all magnitudes: ties of the rounding, denormals, infinities, NaN. */
const anyValue = fc.oneof(
  fc.float(),
  fc.integer({ min: 0, max: 0xffff_ffff }).map((bits) => {
    word.setUint32(0, bits);
    return word.getFloat32(0);
  }),
  fc.integer({ min: 0, max: 0xffff }).map((upper) => {
    word.setUint32(0, upper * 65_536 + 0x8000);
    return word.getFloat32(0);
  }),
);
const pairs = fc.array(fc.tuple(anyValue, anyValue), { minLength: 1, maxLength: 70 });

const memory = new ExchangeMemory();
const { kernel } = memory;
const [a, b, c] = [0, 1, 2].map(() => memory.allocate(4 * 128)) as [Place, Place, Place];
const scale = fround(1 / 3);

function write32(place: Place, values: readonly number[]): void {
  memory.floats(place, 128).fill(0);
  memory.floats(place, values.length).set(values);
}

function write16(place: Place, values: readonly number[]): void {
  const bits = new Uint16Array(memory.shared.buffer, place, 256);
  bits.fill(0);
  bits.set(values.map(toBits16));
}

/** So that NaN equals NaN, whatever its bits are, and 0 is not -0. */
const read32 = (place: Place, count: number): number[] => [...memory.floats(place, count)];
const read16 = (place: Place, count: number): number[] =>
  [...new Uint16Array(memory.shared.buffer, place, count)].map(fromBits16);

test('sums, means and scalings of float32 are those of plain loops', () => {
  fc.assert(
    fc.property(pairs, (given) => {
      const [left, right] = [given.map(([l]) => l), given.map(([, r]) => r)];
      write32(a, left);
      write32(b, right);
      kernel.sum32(c, a, b, given.length);
      const sums = left.map((value, i) => fround(value + right[i]));
      assert.deepEqual(read32(c, given.length), sums);
      kernel.mean32(c, a, b, given.length, scale);
      const means = sums.map((value) => fround(value * scale));
      assert.deepEqual(read32(c, given.length), means);
      kernel.scale32(c, a, given.length, scale);
      const scaled = left.map((value) => fround(value * scale));
      assert.deepEqual(read32(c, given.length), scaled);
      // In place, as the tree adds.
      kernel.sum32(a, a, b, given.length);
      assert.deepEqual(read32(a, given.length), sums);
    }),
  );
});

test('sums, means and scalings of bfloat16 are rounded to nearest even after each operation', () => {
  fc.assert(
    fc.property(pairs, (given) => {
      const left = given.map(([l]) => round16(l));
      const right = given.map(([, r]) => round16(r));
      write16(a, left);
      write16(b, right);
      kernel.sum16(c, a, b, given.length);
      const sums = left.map((value, i) => round16(fround(value + right[i])));
      assert.deepEqual(read16(c, given.length), sums);
      kernel.mean16(c, a, b, given.length, scale);
      const means = sums.map((value) => round16(fround(value * scale)));
      assert.deepEqual(read16(c, given.length), means);
      kernel.scale16(c, a, given.length, scale);
      assert.deepEqual(
        read16(c, given.length),
        left.map((value) => round16(fround(value * scale))),
      );
      kernel.widen(c, a, given.length);
      assert.deepEqual(read32(c, given.length), left);
    }),
  );
});

test('leaves are put and added in both precisions, with the sum of their squares', () => {
  fc.assert(
    fc.property(pairs, (given) => {
      const [first, second] = [given.map(([l]) => l), given.map(([, r]) => r)];
      const checkSquares = (values: readonly number[], found: number): void => {
        const expected = values.reduce((sum, value) => sum + value * value, 0);
        if (Number.isFinite(expected))
          assert.ok(Math.abs(found - expected) <= 1e-12 * expected, `${found}, not ${expected}`);
        else assert.ok(!Number.isFinite(found), `${found}, not ${expected}`);
      };
      write32(a, first);
      checkSquares(first, kernel.put32(c, a, given.length));
      assert.deepEqual(read32(c, given.length), first);
      write32(b, second);
      checkSquares(second, kernel.add32(c, b, given.length));
      const sums = first.map((value, i) => fround(value + second[i]));
      assert.deepEqual(read32(c, given.length), sums);

      checkSquares(first, kernel.put16(c, a, given.length));
      assert.deepEqual(read16(c, given.length), first.map(round16));
      checkSquares(second, kernel.add16(c, b, given.length));
      const rounded = first.map((value, i) => round16(fround(round16(value) + round16(second[i]))));
      assert.deepEqual(read16(c, given.length), rounded);
    }),
  );
});

test('memory is taken by any thread, apart, and seen by all', async () => {
  const own = new ExchangeMemory();
  const before = own.allocate(100);
  const script = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.module).then(({ ExchangeMemory }) => {
      const memory = new ExchangeMemory(workerData.shared);
      const place = memory.allocate(300_000);
      memory.floats(place, 75_000).fill(7);
      parentPort.postMessage(place);
    });`;
  const module = new URL('../../../worker/exchange/memory.js', import.meta.url).href;
  const thread = new Worker(script, { eval: true, workerData: { module, shared: own.shared } });
  const [place] = (await once(thread, 'message')) as [Place];
  const after = own.allocate(100);
  assert.ok(place >= before + 100 && after >= place + 300_000);
  assert.ok([before, place, after].every((each) => each % 64 === 0));
  assert.ok(own.floats(place, 75_000).every((value) => value === 7));
  assert.ok(own.bytes(after, 100).every((value) => value === 0));
});

test('a vector that no memory can hold is refused by name', () => {
  const own = new ExchangeMemory();
  assert.throws(() => own.allocate(5 * 2 ** 30), /do not fit.*microShards|batch\.microShards/s);
});
