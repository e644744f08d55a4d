// What training must give, by the oracles' own books: the reference's states, steps that follow
// each other, every sample once an epoch, and checkpoints of those states.

import { permute } from '../../../shared/plan/samples.js';
import { decodeParts, folderOf, type Manifest } from '../checkpoint-files.js';
import { Violation, type Oracle, type Who } from '../facts.js';
import {
  applyStep,
  leafValue,
  seedState,
  sha256,
  type RunShape,
  type TrainingState,
} from '../training-state.js';

/** Gives the one right state after `step` steps. */
type Reference = (step: number) => TrainingState;

/**
 * The reference of a run, written down from its definition, in one loop, without a world, a tree of
 * subtrees or anything else of the code that is checked.
 */
export function createReference(shape: RunShape): Reference {
  const { seed, samples, microShards, microShardSize, chunks, factorChunks } = shape;
  const states = [seedState(shape)];
  const picksOf = (step: number, leaf: number) =>
    Array.from({ length: microShardSize }, (_, i) => {
      const position = (step * microShards + leaf) * microShardSize + i;
      const epoch = Math.floor(position / samples);
      return { epoch, sample: permute(seed, epoch, position % samples, samples) };
    });
  return (wanted) => {
    while (states.length <= wanted) {
      const state = states.at(-1)!;
      const picks = Array.from({ length: microShards }, (_, leaf) => picksOf(state.step, leaf));
      const sum = (from: number, to: number, chunk: number): number => {
        if (to - from === 1) return leafValue(state, from, picks[from], chunk);
        // The left half is the larger one, and float32 additions go from the leaves up.
        const middle = from + Math.ceil((to - from) / 2);
        return Math.fround(sum(from, middle, chunk) + sum(middle, to, chunk));
      };
      const share = Math.fround(1 / microShards);
      const mean = Array.from({ length: chunks }, (_, chunk) =>
        Math.fround(sum(0, microShards, chunk) * share),
      );
      const factors = picks.flatMap((each, leaf) =>
        Array.from({ length: factorChunks }, (_, i) => leafValue(state, leaf, each, chunks + i)),
      );
      states.push(applyStep(state, mean, factors));
    }
    return states[wanted];
  };
}

export function createStateOracle(reference: Reference): Oracle {
  /** Steps committed, by process. */
  const steps = new Map<string, number>();
  const compare = (who: Who, what: string, state: TrainingState): void => {
    const right = reference(state.step);
    const same =
      right.digest === state.digest && right.values.every((value, i) => value === state.values[i]);
    if (same) return;
    const text = `${who.worker}.${who.incarnation} ${what} a wrong state of step ${state.step}`;
    throw new Violation('reference', text);
  };
  return {
    observe(fact) {
      if (fact.kind !== 'committed' && fact.kind !== 'adopted') return;
      const { who, state } = fact;
      const key = `${who.worker}.${who.incarnation}`;
      const before = steps.get(key);
      if (fact.kind === 'committed' && state.step !== (before ?? NaN) + 1)
        throw new Violation('lineage', `${key} committed step ${state.step} after ${before}`);
      if (fact.kind === 'adopted' && state.step !== fact.step)
        throw new Violation('lineage', `${key} took step ${state.step} for ${fact.step}`);
      if (fact.kind === 'adopted' && fact.source === 'own' && state.step !== before)
        throw new Violation('lineage', `${key} has step ${state.step} of its own, not ${before}`);
      steps.set(key, state.step);
      compare(who, fact.kind === 'committed' ? 'committed' : `took from ${fact.source}`, state);
    },
  };
}

export function createSampleOracle(shape: RunShape): Oracle {
  const { samples, microShards, microShardSize, lastStep } = shape;
  /** What was computed, by "generation:step", then by leaf and worker. */
  const computed = new Map<string, Map<string, readonly string[]>>();
  /** The samples of each step, as of the world that committed it last. */
  const used = new Map<number, readonly string[]>();
  return {
    observe(fact) {
      if (fact.kind === 'formed') {
        // A number may come again when the file of its term was deleted.
        for (const key of [...computed.keys()])
          if (key.startsWith(`${fact.world.generation}:`)) computed.delete(key);
      } else if (fact.kind === 'computed') {
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
          throw new Violation('samples', `step ${step} used the samples ${all.sort().join(' ')}`);
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
              throw new Violation(
                'samples',
                `sample ${sample} came ${times} times in epoch ${epoch}`,
              );
          }
      }
    },
  };
}

export function createCheckpointOracle(reference: Reference, shape: RunShape): Oracle {
  const compare = (step: number, bodies: readonly string[]): void => {
    const state = decodeParts(bodies);
    const right = reference(step);
    if (state.digest !== right.digest || state.values.join() !== right.values.join())
      throw new Violation('checkpoints', `the checkpoint of step ${step} is of another state`);
  };
  const check = (
    step: number,
    parts: readonly { readonly name: string; readonly sha256: string }[],
    bodies: readonly (string | undefined)[],
  ): void => {
    const texts = bodies.map((body, i) => {
      const part = parts[i];
      if (body === undefined)
        throw new Violation('checkpoints', `step ${step}: ${part.name} is missing`);
      if (sha256(body) !== part.sha256)
        throw new Violation('checkpoints', `step ${step}: ${part.name} has another sum`);
      return body;
    });
    compare(step, texts);
  };
  return {
    observe(fact) {
      if (fact.kind === 'manifest') check(fact.step, fact.parts, fact.bodies);
      if (fact.kind !== 'finished') return;
      const folder = folderOf(shape.lastStep);
      const text = fact.read(`${folder}manifest.json`);
      if (text === undefined) throw new Violation('checkpoints', 'the last step has no manifest');
      const { parts } = JSON.parse(text) as Manifest;
      const bodies = parts.map((part) => fact.read(`${folder}${part.name}.safetensors`));
      check(shape.lastStep, parts, bodies);
    },
  };
}
