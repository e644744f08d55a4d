// The order of a state's bytes, and the digest over them.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  bytesOf,
  floatsIn,
  floatsOfState,
  readBytes,
  vectorsInOrder,
  writeBytes,
  copyVectors,
  countersOf,
  createState,
  stateOf,
  vectorPlaces,
  type Counters,
  type TrainingState,
} from '../../../shared/checkpoint/state.js';
import {
  createRollingDigest,
  createStateDigest,
  stateDigest,
} from '../../../shared/checkpoint/digests.js';
import { createRandomStream } from '../../../shared/random.js';
import { networks, stateAt } from '../../support/two-networks.js';

describe('the bytes of a state', () => {
  it('are parameters, both moments, statistics and average of each network in the order given', () => {
    const state = stateAt(3);
    const { generator: g, discriminator: d } = state.networks;
    const expected = [
      ...[g.parameters, g.firstMoment, g.secondMoment, g.statistics, g.average],
      ...[d.parameters, d.firstMoment, d.secondMoment, d.statistics, d.average],
    ].flatMap((vector) => [...vector]);
    const vectors = vectorsInOrder(networks, state);
    const bytes = readBytes(vectors, 0, 1e6);
    assert.equal(bytes.length, bytesOf(vectors));
    assert.deepEqual([...new Float32Array(bytes.buffer)], expected);
  });

  it('lie where their places say', () => {
    const state = stateAt(3);
    const vectors = vectorsInOrder(networks, state);
    const places = vectorPlaces(networks);
    assert.equal(places.length, vectors.length);
    for (const { network, vector, start, end } of places) {
      const found = floatsIn(vectors, start, end).flatMap((piece) => [...piece]);
      assert.deepEqual(found, [...state.networks[network][vector]], `${network} ${vector}`);
    }
  });

  it('come back in pieces of any size', () => {
    const from = stateAt(5);
    const bytes = bytesOf(vectorsInOrder(networks, from));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: bytes + 9 }), (size) => {
        const into = createState(networks);
        const [source, target] = [from, into].map((state) => vectorsInOrder(networks, state));
        for (let at = 0; at < bytes; at += size)
          writeBytes(target, at, readBytes(source, at, size));
        assert.deepEqual(target, source);
      }),
    );
  });

  it('are not written beyond the end', () => {
    const state = stateAt(1);
    const vectors = vectorsInOrder(networks, state);
    const before = stateDigest(networks, state);
    assert.throws(() => writeBytes(vectors, bytesOf(vectors) - 3, new Uint8Array(4)), /more bytes/);
    assert.equal(stateDigest(networks, state), before);
  });
});

describe('the digest of a state', () => {
  const whole = (state: TrainingState): string => stateDigest(networks, state);

  it('is what it was: workers of another build compare it', () => {
    assert.equal(whole(stateAt(4)), '6b34e2688d02873f');
    assert.equal(whole(stateAt(9)), '827c24ce43eea169');
  });

  it('is that of one word after the other, in pieces of any number of blocks', () => {
    const floats = fc.integer({ min: 0, max: 20_000 });
    const pieces = fc.integer({ min: 1, max: 5_000 }).map((quads) => 4 * quads);
    fc.assert(
      fc.property(floats, floats, pieces, fc.integer(), (a, b, piece, seed) => {
        const random = createRandomStream(seed);
        const vectors = [a, b].map((size) => Float32Array.from({ length: size }, random.normal));
        const digest = createStateDigest(networks, countersOf(stateAt(seed)));
        for (const vector of vectors)
          for (let at = 0; at < vector.length; at += piece)
            digest.take(vector.subarray(at, at + piece));
        assert.equal(digest.value(), plainDigest(countersOf(stateAt(seed)), vectors));
      }),
      { numRuns: 30 },
    );
  });

  it('is 16 hexadecimal digits, the same for the same state', () => {
    const { networks: vectors } = createState(networks);
    copyVectors(stateAt(4).networks, vectors);
    const copy = stateOf(countersOf(stateAt(4)), vectors);
    assert.match(whole(copy), /^[0-9a-f]{16}$/);
    assert.equal(whole(copy), whole(stateAt(4)));
  });

  it('changes with every single bit', () => {
    const state = stateAt(4);
    const seen = new Set([whole(state)]);
    let bits = 0;
    for (const vector of vectorsInOrder(networks, state)) {
      const words = new Uint32Array(vector.buffer);
      for (let i = 0; i < words.length; i++)
        for (let bit = 0; bit < 32; bit++, bits++) {
          words[i] ^= 2 ** bit;
          seen.add(whole(state));
          words[i] ^= 2 ** bit;
        }
    }
    assert.equal(bits, 32 * (3 * 28 + 3 + 23));
    assert.equal(seen.size, bits + 1);
  });

  it('changes with every two sign bits, and with every two values that change places', () => {
    const state = stateAt(4);
    const before = whole(state);
    const all = vectorsInOrder(networks, state).flatMap((vector) =>
      [...vector.keys()].map((i) => ({ words: new Uint32Array(vector.buffer), i })),
    );
    for (const a of all)
      for (const b of all) {
        if (a === b) continue;
        a.words[a.i] ^= 2 ** 31;
        b.words[b.i] ^= 2 ** 31;
        assert.notEqual(whole(state), before);
        a.words[a.i] ^= 2 ** 31;
        b.words[b.i] ^= 2 ** 31;
        const swap = (): void => {
          [a.words[a.i], b.words[b.i]] = [b.words[b.i], a.words[a.i]];
        };
        swap();
        assert.notEqual(whole(state), before);
        swap();
      }
    assert.equal(whole(state), before);
  });

  it('changes with the step, the updates and the steps skipped', () => {
    const state = stateAt(4);
    const seen = new Set([whole(state)]);
    seen.add(whole({ ...state, step: 2 ** 40 }));
    seen.add(whole({ ...state, skippedInARow: 1 }));
    state.networks['discriminator'].updates += 1;
    seen.add(whole(state));
    assert.equal(seen.size, 4);
  });
});

/** The digest as it is defined, a word at a time. */
function plainDigest(
  { step, skippedInARow, updates }: Counters,
  vectors: readonly Float32Array[],
): string {
  const [prime1, prime2, prime3] = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d];
  const round = (lane: number, word: number): number => {
    const sum = (lane + Math.imul(word, prime2)) >>> 0;
    return Math.imul((sum << 13) | (sum >>> 19), prime1) >>> 0;
  };
  const mix = (value: number): number => {
    let h = Math.imul(value ^ (value >>> 15), prime2);
    h = Math.imul(h ^ (h >>> 13), prime3);
    return (h ^ (h >>> 16)) >>> 0;
  };
  const lanes = [prime1, prime2, prime3, 1];
  const counts = [step, skippedInARow, ...networks.map(({ name }) => updates[name])];
  const words = [
    counts.flatMap((count) => [count % 2 ** 32, Math.floor(count / 2 ** 32)]),
    ...vectors.map(({ buffer }) => [...new Uint32Array(buffer)]),
  ];
  for (const each of words)
    for (const [i, word] of each.entries()) lanes[i % 4] = round(lanes[i % 4], word);
  const [a, b, c, d] = lanes;
  const [high, low] = [mix(round(mix(a), b)), mix(round(mix(c), d))];
  const last = (low ^ mix((high + prime3) >>> 0)) >>> 0;
  const first = (high ^ mix((last + prime1) >>> 0)) >>> 0;
  return [first, last].map((half) => half.toString(16).padStart(8, '0')).join('');
}

describe('the rolling digest', () => {
  const steps = 20;
  const values = async (vectors: readonly Float32Array[], window: number): Promise<string[]> => {
    const read = (start: number, end: number) => Promise.resolve(floatsIn(vectors, start, end));
    const digest = createRollingDigest(floatsOfState(networks), read, window);
    const result: string[] = [];
    for (let step = 0; step < steps; step++) result.push(await digest.advance(step));
    return result;
  };

  it('is what it was', async () => {
    const expected = ['cb8d40033e61a482', 'd5693fd7c3ca01e6', '04967777046a3aab'];
    const found = await values(vectorsInOrder(networks, stateAt(2)), 10);
    assert.deepEqual(found.slice(0, 3), expected);
  });

  it('finds every changed bit once its window has come by, and never forgets it', async () => {
    const state = stateAt(2);
    const vectors = vectorsInOrder(networks, state);
    const window = 10;
    const expected = await values(vectors, window);
    let place = 0;
    for (const vector of vectors)
      for (let i = 0; i < vector.length; i++, place++) {
        const words = new Uint32Array(vector.buffer);
        words[i] ^= 1;
        const found = await values(vectors, window);
        words[i] ^= 1;
        const first = found.findIndex((value, step) => value !== expected[step]);
        assert.equal(first, Math.floor(place / window), `float ${place}`);
        for (let step = first; step < steps; step++) assert.notEqual(found[step], expected[step]);
      }
  });

  it('looks at all of a small state after each step', async () => {
    const vectors = vectorsInOrder(networks, stateAt(2));
    const [one] = await values(vectors, 2 ** 20);
    vectors.findLast(({ length }) => length > 0)![2] += 1;
    assert.notEqual((await values(vectors, 2 ** 20))[0], one);
  });
});
