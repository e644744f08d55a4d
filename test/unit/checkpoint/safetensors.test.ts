import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  decodeSafetensors,
  encodeSafetensors,
  maxHeaderBytes,
  SafetensorsFault,
} from '../../../shared/checkpoint/safetensors.js';

/** A file by hand: header text, then data. */
function file(header: unknown, data = Buffer.alloc(0), headerBytes?: number): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(headerBytes ?? text.length));
  return Buffer.concat([prefix, text, data]);
}
const entry = (shape: unknown, from: number, to: number, dtype = 'F32'): object => ({
  dtype,
  shape,
  data_offsets: [from, to],
});

describe('safetensors', () => {
  it('reads a file of the published example form, at any alignment', () => {
    const data = Buffer.from(Float32Array.of(1, -2.5, 3e-8, NaN).buffer);
    const header = { __metadata__: { by: 'x' }, b: entry([1], 12, 16), a: entry([3], 0, 12) };
    const bytes = file(header, data);
    for (const shift of [0, 1, 2, 3]) {
      const moved = Buffer.concat([Buffer.alloc(shift), bytes]).subarray(shift);
      const { tensors, metadata } = decodeSafetensors(moved);
      assert.deepEqual(metadata, { by: 'x' });
      assert.deepEqual([...tensors.get('a')!.data], [1, -2.5, Math.fround(3e-8)]);
      assert.ok(Number.isNaN(tensors.get('b')!.data[0]));
    }
  });

  it('aligns the data to 8 bytes and writes the same bytes each time', () => {
    const tensors = [{ name: 'w', shape: [2], data: Float32Array.of(1, 2) }];
    const bytes = encodeSafetensors(tensors, { a: 'b' });
    assert.equal(bytes.readBigUInt64LE(0) % 8n, 0n);
    assert.ok(bytes.equals(encodeSafetensors(tensors, { a: 'b' })));
  });

  it('gives back what was written, bit by bit', () => {
    const tensor = fc.tuple(fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }), fc.nat());
    const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 20 }), { maxLength: 6 });
    fc.assert(
      fc.property(names, fc.array(tensor, { minLength: 6, maxLength: 6 }), (keys, specs) => {
        fc.pre(!keys.includes('__metadata__') && !keys.includes('__proto__'));
        const tensors = keys.map((name, i) => {
          const [shape, start] = specs[i];
          const size = shape.reduce((product, extent) => product * extent, 1);
          const bits = Uint32Array.from({ length: size }, (_, k) => (start + k) * 2654435761);
          return { name, shape, data: new Float32Array(bits.buffer) };
        });
        const back = decodeSafetensors(encodeSafetensors(tensors)).tensors;
        assert.equal(back.size, tensors.length);
        for (const { name, shape, data } of tensors) {
          assert.deepEqual(back.get(name)!.shape, shape);
          const bytes = Buffer.from(back.get(name)!.data.buffer);
          assert.ok(bytes.equals(Buffer.from(data.buffer)));
        }
      }),
      { numRuns: 200 },
    );
  });

  const four = Buffer.alloc(4);
  const faults: [string, Buffer, RegExp][] = [
    ['no bytes', Buffer.alloc(0), /too few/],
    ['a header longer than the file', file('{}', four, 1000), /header of 1000 bytes/],
    ['a header of 2^63 bytes', file('{}', four, 2 ** 63), /header of/],
    ['a header above the bound', file('{}', Buffer.alloc(9e6), maxHeaderBytes + 1), /at most/],
    ['no JSON', file('{"a":', four), /not JSON/],
    ['an array', file('[1,2]', four), /does not start/],
    ['another type', file({ a: entry([2], 0, 4, 'F16') }, four), /F16; only F32/],
    ['a shape with a fraction', file({ a: entry([0.5], 0, 4) }, four), /shape/],
    ['a negative extent', file({ a: entry([-1], 0, 4) }, four), /shape/],
    ['a shape of huge extents', file({ a: entry([1e300, 1e300], 0, 4) }, four), /shape/],
    ['offsets beyond the file', file({ a: entry([2], 0, 8) }, four), /4 follow/],
    ['offsets that do not fit the shape', file({ a: entry([2], 0, 4) }, four), /does not take/],
    ['offsets backwards', file({ a: entry([1], 4, 0) }, four), /does not take/],
    ['a gap', file({ a: entry([1], 4, 8) }, Buffer.alloc(8)), /gap or overlap/],
    ['an overlap', file({ a: entry([1], 0, 4), b: entry([1], 0, 4) }, four), /gap or overlap/],
    ['bytes left over', file({ a: entry([1], 0, 4) }, Buffer.alloc(5)), /5 follow/],
    ['an unknown key', file({ a: { ...entry([1], 0, 4), x: 1 } }, four), /unknown key x/],
    ['an entry of null', file({ a: null }, four), /no object/],
    ['metadata of numbers', file({ __metadata__: { a: 1 } }), /metadata/],
  ];
  for (const [name, bytes, message] of faults)
    it(`refuses ${name}`, () => {
      assert.throws(
        () => decodeSafetensors(bytes),
        (error: Error) => error instanceof SafetensorsFault && message.test(error.message),
      );
    });

  it('refuses or reads any bytes, and throws nothing else', () => {
    const good = encodeSafetensors([{ name: 'w', shape: [3], data: Float32Array.of(1, 2, 3) }]);
    const spoiled = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 5 });
    fc.assert(
      fc.property(spoiled, (changes) => {
        const bytes = Buffer.from(good);
        for (const [at, value] of changes) bytes[at] = value;
        try {
          decodeSafetensors(bytes);
        } catch (error) {
          assert.ok(error instanceof SafetensorsFault, String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});
