// What the compute engines can be asked for. What a machine has is another question, which the
// engine itself answers when it is created.

import type { Problem } from '../problems.js';
import type { EngineName, Precision } from './schema.js';

interface EngineAbilities {
  /** The provider may allow fewer: tf32 is of NVIDIA's GPUs. */
  readonly precisions: readonly Precision[];
  /** Whether one process drives several devices. */
  readonly drivesSeveral: boolean;
  /** How the tags end of Lockstep's images that have it, and whether it finds GPUs there. */
  readonly imageSuffix: '' | '-gpu' | '-xla';
  readonly hasGpuImage: boolean;
}

const ofTensorflow: EngineAbilities = {
  ...{ precisions: ['float32', 'tf32'], drivesSeveral: false },
  ...{ imageSuffix: '-gpu', hasGpuImage: true },
};

const abilities: Readonly<Record<EngineName, EngineAbilities>> = {
  onnx: { precisions: ['float32'], drivesSeveral: false, imageSuffix: '', hasGpuImage: false },
  tensorflow: ofTensorflow,
  'tensorflow-eager': ofTensorflow,
  xla: {
    ...{ precisions: ['float32', 'tf32', 'bfloat16'], drivesSeveral: true },
    ...{ imageSuffix: '-xla', hasGpuImage: true },
  },
};

/** How the tag of an image of Lockstep's ends that has this engine; and one where it has GPUs. */
export function imageOfEngine(engine: EngineName) {
  const { imageSuffix: suffix, hasGpuImage: hasGpus } = abilities[engine];
  return { suffix, hasGpus };
}

/** What the tags of Lockstep's images end with, behind the version. */
export const imageSuffixes = ['', '-gpu', '-xla'] as const;

/** Whether a process of this engine can drive several devices. */
export function drivesSeveralDevices(engine: EngineName): boolean {
  return abilities[engine].drivesSeveral;
}

/** What is wrong with a precision for an engine, if anything; undefined is float32. */
export function precisionProblem(
  engine: EngineName,
  precision: Precision | undefined,
): Problem | undefined {
  const { precisions } = abilities[engine];
  if (precision === undefined || precisions.includes(precision)) return undefined;
  const others = Object.entries(abilities).filter(([, can]) => can.precisions.includes(precision));
  return {
    key: 'engine.precision',
    given: precision,
    allowed: `${precisions.join(', ')} with engine.name ${engine}`,
    hint: `${precision} is for ${others.map(([name]) => name).join(', ')}`,
  };
}

/** Devices that a worker computes on: so many, or all that it finds. */
export type DeviceCount = number | 'all';

/** What is wrong with a number of devices for an engine, if anything. */
export function devicesProblem(engine: EngineName, devices: DeviceCount): Problem | undefined {
  if (devices === 1 || drivesSeveralDevices(engine)) return undefined;
  return {
    key: '--devices',
    given: devices,
    allowed: `1: a worker of the engine ${engine} drives one device`,
    hint: 'engine.name xla drives several; --gpus all starts a worker for each GPU',
  };
}
