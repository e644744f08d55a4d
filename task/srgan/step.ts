// The training step of a phase, top to bottom: one generator forward, the losses, and the
// gradients of both networks at the same parameters (the order of BasicSR). A phase without
// adversarial loss knows only the generator.

import {
  abs,
  add,
  keep,
  mean,
  mul,
  squaredDifference,
  sub,
  valueAndGrads,
  type Scalar,
  type Tensor,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import '../ops/gradients.js';
import type { PhaseSpec, RunSpec } from '../../shared/spec/schema.js';
import { createFeatureLosses, type FeatureLosses } from '../features/feature-loss.js';
import type { NamedTensors, StepDefinition, StepOutputs } from '../task.js';
import { adversarialLoss, discriminatorLoss, meanScores } from './adversarial.js';
import { discriminate, discriminatorName, discriminatorParameters } from './discriminator.js';
import { generate, generatorName, generatorParameters, generatorStatistics } from './generator.js';
import { trainingNormalization } from './units.js';

const pixelMetrics = ['loss/generator', 'loss/pixel', 'mse'];
const discriminatorMetrics = ['loss/discriminator', 'score/real', 'score/fake'];
const adversarialMetrics = ['loss/adversarial', ...discriminatorMetrics];

/** The step of a phase. Inputs: `lr` in [0, 1], `hr` in [-1, 1], the parameters by name. */
export function createStep(spec: RunSpec, phase: PhaseSpec): StepDefinition {
  const isAdversarial = phase.loss.adversarial > 0;
  const features = createFeatureLosses(phase.loss.features);
  const contentMetrics = [...pixelMetrics, ...features.metrics];
  const networks = isAdversarial ? [generatorName, discriminatorName] : [generatorName];
  return {
    reads: networks,
    frozen: features.weights,
    trains: networks,
    statistics: generatorStatistics(spec.generator),
    metrics: isAdversarial ? [...contentMetrics, ...adversarialMetrics] : contentMetrics,
    run: (inputs) => {
      const generator = trainGenerator(spec, phase, features, inputs);
      const outputs = isAdversarial
        ? merge(generator, trainDiscriminator(spec, phase, inputs, generator.generated))
        : generator;
      generator.generated.dispose();
      return {
        gradients: outputs.gradients,
        statistics: outputs.statistics,
        metrics: outputs.metrics,
      };
    },
  };
}

/**
 * A step of a phase that trains the discriminator alone, on what the generator makes of `lr` as it
 * is. The generator's running statistics are left alone, too.
 */
export function createDiscriminatorStep(spec: RunSpec, phase: PhaseSpec): StepDefinition {
  return {
    reads: [generatorName, discriminatorName],
    frozen: [],
    trains: [discriminatorName],
    statistics: [],
    metrics: discriminatorMetrics,
    run: (inputs) => {
      const lr = inputs['lr'] as Tensor4D;
      const generated = generate(spec.generator, lr, inputs, trainingNormalization(inputs));
      return trainDiscriminator(spec, phase, inputs, generated);
    },
  };
}

/** The generator's part; `generated` is what it made of `lr`. */
function trainGenerator(
  spec: RunSpec,
  phase: PhaseSpec,
  features: FeatureLosses,
  inputs: NamedTensors,
): StepOutputs & { readonly generated: Tensor } {
  const lr = inputs['lr'] as Tensor4D;
  const hr = inputs['hr'] as Tensor4D;
  const weights = phase.loss;
  const statistics: NamedTensors = {};
  const metrics: NamedTensors = {};
  let generated: Tensor4D | undefined;
  const distances = features.against(hr, inputs);
  const names = generatorParameters(spec.generator).map(({ name }) => name);
  const { value, gradients } = differentiate(names, inputs, (p) => {
    generated = keep(generate(spec.generator, lr, p, trainingNormalization(p, statistics)));
    metrics['mse'] = keep(meanSquaredError(generated, hr));
    const pixel = keep(pixelLoss(weights.pixelNorm, generated, hr));
    metrics['loss/pixel'] = pixel;
    let content = mul<Scalar>(pixel, weights.pixel);
    for (const { metric, weight, value } of distances(generated)) {
      metrics[metric] = keep(value);
      content = add(content, mul(value, weight));
    }
    if (weights.adversarial === 0) return content;
    // The discriminator's parameters are constants here: only pictures get gradients through it.
    const verdicts = discriminate(spec.discriminator, hr, generated, inputs);
    const adversarial = keep(adversarialLoss(weights.objective, verdicts));
    metrics['loss/adversarial'] = adversarial;
    return add(content, mul(adversarial, weights.adversarial));
  });
  metrics['loss/generator'] = value;
  return { gradients, statistics, metrics, generated: generated! };
}

/** The discriminator's part; the generated pictures are constants here. */
function trainDiscriminator(
  spec: RunSpec,
  phase: PhaseSpec,
  inputs: NamedTensors,
  generated: Tensor,
): StepOutputs {
  const hr = inputs['hr'] as Tensor4D;
  const { objective, realLabel = 1 } = phase.loss;
  const metrics: NamedTensors = {};
  const parameters = discriminatorParameters(spec.discriminator, spec.dataset.crop);
  const names = parameters.map(({ name }) => name);
  const { value, gradients } = differentiate(names, inputs, (p) => {
    const verdicts = discriminate(spec.discriminator, hr, generated as Tensor4D, p);
    const scores = meanScores(objective, verdicts);
    metrics['score/real'] = keep(scores.real);
    metrics['score/fake'] = keep(scores.fake);
    return discriminatorLoss(objective, verdicts, realLabel);
  });
  metrics['loss/discriminator'] = value;
  return { gradients, statistics: {}, metrics };
}

/** The value of a loss and its gradients with respect to the named inputs. */
function differentiate(
  names: readonly string[],
  inputs: NamedTensors,
  loss: (parameters: NamedTensors) => Scalar,
): { value: Scalar; gradients: NamedTensors } {
  const named = (tensors: readonly Tensor[]): NamedTensors =>
    Object.fromEntries(names.map((name, i) => [name, tensors[i]]));
  const { value, grads } = valueAndGrads((...tensors: Tensor[]) => loss(named(tensors)))(
    names.map((name) => inputs[name]),
  );
  return { value: value, gradients: named(grads) };
}

function merge(first: StepOutputs, second: StepOutputs): StepOutputs {
  return {
    gradients: { ...first.gradients, ...second.gradients },
    statistics: { ...first.statistics, ...second.statistics },
    metrics: { ...first.metrics, ...second.metrics },
  };
}

// The losses are all means, so that the mean over micro-shards is the batch's loss.

/** Mean squared error; pictures in [-1, 1], so PSNR = 10 log10(4 / error). */
function meanSquaredError(generated: Tensor, original: Tensor): Scalar {
  return mean<Scalar>(squaredDifference(generated, original));
}

/** Mean squared or mean absolute difference of pictures in [-1, 1]. */
function pixelLoss(
  norm: PhaseSpec['loss']['pixelNorm'],
  generated: Tensor,
  original: Tensor,
): Scalar {
  if (norm === 'mse') return meanSquaredError(generated, original);
  return mean<Scalar>(abs(sub(generated, original)));
}
