// In the steps that count, every sample of an epoch is used exactly once: by the books of who
// computed which samples in the world that committed the step.

import { Violation, type Oracle } from '../facts.js';
import type { RunShape } from '../training-state.js';

const name = 'samples';

export function createSampleOracle(shape: RunShape): Oracle {
  const { samples, microShards, microShardSize, lastStep } = shape;
  /** What was computed, by "generation:step", then by leaf and worker. */
  const computed = new Map<string, Map<string, readonly string[]>>();
  /** The samples of each step, as of the world that committed it last. */
  const used = new Map<number, readonly string[]>();
  return {
    name,
    observe(fact) {
      if (fact.kind === 'computed') {
        const key = `${fact.generation}:${fact.step}`;
        const shares = computed.get(key) ?? new Map<string, readonly string[]>();
        const picks = fact.picks.map(({ epoch, sample }) => `${epoch}/${sample}`);
        computed.set(key, shares.set(`${fact.leaf} ${fact.who.worker}`, picks));
      } else if (fact.kind === 'committed') {
        const step = fact.state.step - 1;
        const shares = computed.get(`${fact.generation}:${step}`);
        // A world's second commit of a step finds the books closed.
        if (shares === undefined) return;
        computed.delete(`${fact.generation}:${step}`);
        const all = [...shares.values()].flat();
        if (all.length !== microShards * microShardSize || new Set(all).size !== all.length)
          throw new Violation(name, `step ${step} used the samples ${all.sort().join(' ')}`);
        used.set(step, all);
      } else if (fact.kind === 'finished') {
        const wholeEpochs = Math.floor((lastStep * microShards * microShardSize) / samples);
        const counts = new Map<string, number>();
        for (let step = 0; step < lastStep; step++)
          for (const pick of used.get(step) ?? []) counts.set(pick, (counts.get(pick) ?? 0) + 1);
        for (let epoch = 0; epoch < wholeEpochs; epoch++)
          for (let sample = 0; sample < samples; sample++) {
            const times = counts.get(`${epoch}/${sample}`) ?? 0;
            if (times !== 1)
              throw new Violation(name, `sample ${sample} came ${times} times in epoch ${epoch}`);
          }
      }
    },
  };
}
