// A manifest names parts that are there and that make up the reference's state; and the run's last
// checkpoint is whole.

import { decodeParts, folderOf, type Manifest } from '../checkpoint-files.js';
import { Violation, type Oracle } from '../facts.js';
import { sha256, type RunShape } from '../training-state.js';
import type { Reference } from './reference.js';

const name = 'checkpoints';

export function createCheckpointOracle(reference: Reference, shape: RunShape): Oracle {
  const compare = (step: number, bodies: readonly string[]): void => {
    const state = decodeParts(bodies);
    const right = reference(step);
    if (state.digest !== right.digest || state.values.join() !== right.values.join())
      throw new Violation(name, `the checkpoint of step ${step} is of another state`);
  };
  const check = (
    step: number,
    parts: readonly { readonly name: string; readonly sha256: string }[],
    bodies: readonly (string | undefined)[],
  ): void => {
    const texts = bodies.map((body, i) => {
      const part = parts[i];
      if (body === undefined) throw new Violation(name, `step ${step}: ${part.name} is missing`);
      if (sha256(body) !== part.sha256)
        throw new Violation(name, `step ${step}: ${part.name} has another sum`);
      return body;
    });
    compare(step, texts);
  };
  return {
    name,
    observe(fact) {
      if (fact.kind === 'manifest') check(fact.step, fact.parts, fact.bodies);
      if (fact.kind !== 'finished') return;
      const folder = folderOf(shape.lastStep);
      const text = fact.read(`${folder}manifest.json`);
      if (text === undefined) throw new Violation(name, 'the last step has no manifest');
      const { parts } = JSON.parse(text) as Manifest;
      const bodies = parts.map((part) => fact.read(`${folder}${part.name}.safetensors`));
      check(shape.lastStep, parts, bodies);
    },
  };
}
