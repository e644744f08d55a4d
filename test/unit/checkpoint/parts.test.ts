import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parametersSha256 } from '../../../shared/checkpoint/digests.js';
import { createState, vectorsInOrder } from '../../../shared/checkpoint/state.js';
import { checkpointsToPrune } from '../../../shared/checkpoint/write.js';
import { fillFromPart, partsOf, partsOfShare } from '../../../shared/checkpoint/parts.js';
import { checkpointPrefix, parseCheckpointKey } from '../../../shared/checkpoint/manifest.js';
import { decodeSafetensors } from '../../../shared/checkpoint/safetensors.js';
import { sha256Of } from '../../../shared/sha256.js';
import { discriminator, encodePart, networks, stateAt } from '../../support/two-networks.js';

describe('checkpoint parts', () => {
  const parts = partsOf(networks);

  it('are parameters, moments and, where there are any, statistics and average of each network', () => {
    assert.deepEqual(
      parts.map(({ name, bytes }) => [name, bytes]),
      [
        ['generator', 4 * 23],
        ['generator-adam', 8 * 23],
        ['generator-average', 4 * 23],
        ['discriminator', 20],
        ['discriminator-adam', 40],
        ['discriminator-statistics', 12],
      ],
    );
  });

  it('come back from their files as they were, tensors under their own names', () => {
    const names: Record<string, string[]> = {};
    const into = createState(networks);
    const from = stateAt(3);
    for (const part of parts) {
      const network = networks.find(({ name }) => name === part.network)!;
      const { body } = encodePart(part, network, from.networks[part.network]);
      const { metadata, tensors } = decodeSafetensors(body);
      assert.deepEqual([metadata['network'], metadata['kind']], [part.network, part.kind]);
      fillFromPart(part, network, tensors, into.networks[part.network]);
      names[part.name] = [...tensors.keys()];
    }
    assert.deepEqual(vectorsInOrder(networks, into), vectorsInOrder(networks, from));
    assert.deepEqual(names['discriminator'], ['d/kernel']);
    assert.deepEqual(names['generator-average'], ['g/kernel', 'g/bias']);
    const moments = ['first-moment/d/kernel', 'second-moment/d/kernel'];
    assert.deepEqual(names['discriminator-adam'], moments);
  });

  it('have the bytes that they had: parts of runs that go on are compared by their sums', () => {
    const state = stateAt(3);
    const sums = parts.map((part) => {
      const network = networks.find(({ name }) => name === part.network)!;
      const { name, body } = encodePart(part, network, state.networks[part.network]);
      return `${name} ${sha256Of(body).slice(0, 16)}`;
    });
    assert.deepEqual(sums, [
      'generator 90ecf4ebf8ab25db',
      'generator-adam 98ea8df92ccf90c5',
      'generator-average 91440af3fdcdf87e',
      'discriminator 574938237c9d4e46',
      'discriminator-adam c478cf6dd7d4876b',
      'discriminator-statistics 1c74127a51ede0a9',
    ]);
  });

  it('refuses a file of other tensors', () => {
    const [part] = partsOf([discriminator]);
    const state = stateAt(3).networks['discriminator'];
    const wrong = (name: string, shape: number[]): (() => void) => {
      const tensor = { name, shape, data: new Float32Array(5) };
      return () => fillFromPart(part, discriminator, new Map([[name, tensor]]), state);
    };
    assert.throws(wrong('d/kernel', [1, 5]), /shape \[5\] is due, not \[1,5\]/);
    assert.throws(wrong('other', [5]), /not missing/);
    const nothing = () => fillFromPart(part, discriminator, new Map(), state);
    assert.throws(nothing, /0 tensors, 1 are due/);
  });

  it('each belong to exactly one share, and shares are near in size', () => {
    const sizes = fc.array(fc.nat(1_000_000), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 9 }), (bytes, shares) => {
        const plans = bytes.map((size, i) => ({
          name: `p${i}`,
          network: 'n',
          kind: 'parameters' as const,
          bytes: size,
        }));
        const all = Array.from({ length: shares }, (_, share) =>
          partsOfShare(plans, share, shares),
        );
        const names = all.flat().map(({ name }) => name);
        assert.deepEqual([...names].sort(), plans.map(({ name }) => name).sort());
        const loads = all.map((share) => share.reduce((sum, part) => sum + part.bytes, 0));
        assert.ok(Math.max(...loads) - Math.min(...loads) <= Math.max(...bytes));
        // The order in which the parts are given does not matter.
        const reversed = partsOfShare([...plans].reverse(), 0, shares);
        assert.deepEqual(reversed, all[0]);
      }),
    );
  });
});

describe('the sum of a state', () => {
  it('is over the parameters of the networks in their order, shared memory or not', () => {
    const shared = new Float32Array(new SharedArrayBuffer(40), 8, 5);
    shared.set([1, 2, 3, 4, 5]);
    const values = Float32Array.of(1, 2, 3, 4, 5, 9, 10, 11);
    const expected = createHash('sha256').update(Buffer.from(values.buffer)).digest('hex');
    assert.equal(parametersSha256([shared, Float32Array.of(9, 10, 11)]), expected);
  });
});

describe('checkpoint paths', () => {
  it('sort as their steps do and are read back', () => {
    assert.equal(checkpointPrefix(100), 'checkpoints/step-00000100/');
    assert.deepEqual(parseCheckpointKey('checkpoints/step-00000100/a.safetensors'), {
      step: 100,
      file: 'a.safetensors',
    });
    assert.equal(parseCheckpointKey(`${checkpointPrefix(2 ** 40)}x`)?.step, 2 ** 40);
    const others = ['checkpoints/step-100/a', 'checkpoints/step-0000000100/a', 'samples/x', ''];
    for (const key of others) assert.equal(parseCheckpointKey(key), undefined, key);
  });
});

describe('pruning', () => {
  const entry = (step: number, hasManifest = true) => ({ step, hasManifest, files: [], bytes: 1 });
  const cases: [string, ReturnType<typeof entry>[], number, number, number[]][] = [
    ['keeps the newest', [entry(1), entry(2), entry(3)], 2, 3, [1]],
    ['keeps the newest whole one even when it is old', [entry(1), entry(2), entry(3)], 1, 1, [2]],
    ['keeps at least one', [entry(1), entry(2)], 0, 2, [1]],
    [
      'deletes old leftovers, not what is being written',
      [entry(1, false), entry(2), entry(3, false)],
      1,
      2,
      [1],
    ],
    ['leftovers do not count as kept', [entry(1), entry(2, false), entry(3)], 2, 3, [2]],
  ];
  for (const [name, entries, keep, whole, deleted] of cases)
    it(name, () => {
      const steps = checkpointsToPrune(entries, keep, whole).map(({ step }) => step);
      assert.deepEqual(steps, deleted);
    });
});
