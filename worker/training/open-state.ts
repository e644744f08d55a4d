// Where the state of a step comes from when no worker has it: its checkpoint, or the seed.

import { readState, isManifest, readManifest } from '../../shared/checkpoint/read.js';
import { createState, type TrainingState } from '../../shared/checkpoint/state.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import type { ObjectStore } from '../../shared/store/store.js';
import type { Step } from '../../shared/words.js';
import type { Task } from '../../task/task.js';

/** The state at `step`, in memory of its own: from the checkpoint, at step 0 from the seed. */
export async function openState(
  task: Task,
  spec: RunSpec,
  store: ObjectStore,
  step: Step,
): Promise<TrainingState> {
  if (step === 0) return seedState(task, spec.seed);
  const manifest = await readManifest(store, step);
  if (!isManifest(manifest)) throw new Error(`checkpoint of step ${step}: ${manifest.text}`);
  return readState(store, manifest, task.networks);
}

function seedState(task: Task, seed: number): TrainingState {
  const state = createState(task.networks);
  for (const { name } of task.networks) {
    state.networks[name].parameters.set(task.initialParameters(name, seed));
    state.networks[name].statistics.set(task.initialStatistics(name));
  }
  return state;
}
