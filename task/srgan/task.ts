// The SRGAN task as the rest of Lockstep sees it: networks, batch, initial values, the step of a
// phase and the forward pass for inference, all from the run spec.

import type { Tensor4D } from '@tensorflow/tfjs-core';
import { sizeOf, type NetworkSpec } from '../../shared/layout.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import type { PhaseSpec, RunSpec } from '../../shared/spec/schema.js';
import type { Task } from '../task.js';
import { discriminatorName, discriminatorParameters } from './discriminator.js';
import {
  generate,
  generatorName,
  generatorParameters,
  generatorRadius,
  generatorStatistics,
} from './generator.js';
import { initialValues, type Parameter } from './initial.js';
import { createDiscriminatorStep, createStep } from './step.js';
import { inferenceNormalization } from './units.js';

/** Enlargement a side; the two upsampling stages of the generator make it. */
const scale = 4;

/** Creates the SRGAN task of a spec; throws an OperatorError for networks that cannot be built. */
export function createSrganTask(spec: RunSpec): Task {
  const problems = networkProblems(spec);
  if (problems.length > 0) throw new OperatorError('the networks cannot be built', problems);
  const parameters: Record<string, readonly Parameter[]> = {
    [generatorName]: generatorParameters(spec.generator),
    [discriminatorName]: discriminatorParameters(spec.discriminator, spec.dataset.crop),
  };
  const networks = describeNetworks(spec, parameters);
  const networkOf = (name: string) => find(networks, name, 'network');
  return {
    networks,
    batch: (size) => [
      { name: 'lr', shape: [size, spec.dataset.crop / scale, spec.dataset.crop / scale, 3] },
      { name: 'hr', shape: [size, spec.dataset.crop, spec.dataset.crop, 3] },
    ],
    initialParameters: (network, seed) => initialValues(parameters[networkOf(network).name], seed),
    initialStatistics: (network) => initialStatistics(networkOf(network)),
    step: (name, part) => {
      const phase = find<PhaseSpec>(spec.phases, name, 'phase');
      return part === 'discriminator'
        ? createDiscriminatorStep(spec, phase)
        : createStep(spec, phase);
    },
    inference: {
      network: generatorName,
      scale,
      radius: generatorRadius(spec.generator),
      run: (inputs) =>
        generate(
          spec.generator,
          inputs['input'] as Tensor4D,
          inputs,
          inferenceNormalization(inputs),
        ),
    },
  };
}

/**
 * The discriminator keeps no running statistics: it judges only in training, where it normalizes
 * by the micro-shard's own.
 */
function describeNetworks(
  spec: RunSpec,
  parameters: Record<string, readonly Parameter[]>,
): NetworkSpec[] {
  const describe = (name: string, statistics: NetworkSpec['statistics']): NetworkSpec => ({
    name,
    parameters: parameters[name].map(({ name: tensor, shape }) => ({ name: tensor, shape })),
    statistics,
  });
  return [
    { ...describe(generatorName, generatorStatistics(spec.generator)), isAveraged: spec.ema > 0 },
    describe(discriminatorName, []),
  ];
}

/** Means 0 and variances 1. */
function initialStatistics({ statistics }: NetworkSpec): Float32Array {
  return Float32Array.from(
    statistics.flatMap(({ name, shape }) =>
      new Array<number>(sizeOf(shape)).fill(name.endsWith('/variance') ? 1 : 0),
    ),
  );
}

function networkProblems({ generator }: RunSpec): Problem[] {
  if (generator.upsampling !== 'pixel-shuffle' || generator.upsamplingChannels % 4 === 0) return [];
  return [
    {
      key: 'generator.upsamplingChannels',
      given: generator.upsamplingChannels,
      allowed: 'a multiple of 4 with the upsampling "pixel-shuffle"',
    },
  ];
}

function find<T extends { readonly name: string }>(
  all: readonly T[],
  name: string,
  what: string,
): T {
  const found = all.find((one) => one.name === name);
  if (found === undefined) throw new Error(`the task has no ${what} "${name}"`);
  return found;
}
