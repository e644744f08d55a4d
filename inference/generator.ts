// A trained generator as a model that needs nothing of Lockstep: ONNX, or TF.js's graph model.
// Both come from the task's own forward pass, traced, with parameters and statistics inside and
// the number and size of pictures left open.

import { createLayout, viewsOf, type NetworkSpec } from '../shared/layout.js';
import type { Task } from '../task/task.js';
import { lowerToGraphModel, type GraphModelFiles } from '../trace/lower/graph-model.js';
import { lowerDynamic } from '../trace/lower/onnx/lower.js';
import { trace } from '../trace/trace.js';
import { formatMetadata, inputName, outputName, type ModelMetadata } from './model-metadata.js';
import { appendMetadata } from './onnx-metadata.js';
import { openSizes, type OpenGraph } from './open-sizes.js';

/** Two sizes [n, h, w, 3] without an extent in common, as small as a reflected border allows. */
const traceSizes = [
  [1, 5, 7, 3],
  [2, 6, 9, 3],
] as const;

/**
 * The generator as an ONNX file. Flat vectors are in the layouts of the task's network. Input
 * `lr` float32 [n, h, w, 3] in [0, 1], output `sr` float32 [n, s*h, s*w, 3], nominally [-1, 1].
 */
export function exportOnnx(
  task: Task,
  parameters: Float32Array,
  statistics: Float32Array,
): Uint8Array {
  const { graph, other } = traceGenerator(task);
  const symbolicDims = {
    [inputName]: ['n', 'h', 'w', 3],
    [outputName]: ['n', `${task.inference.scale}h`, `${task.inference.scale}w`, 3],
  };
  const embed = embeddedValues(task, parameters, statistics);
  return appendMetadata(
    lowerDynamic(graph, other, { symbolicDims, embed }),
    formatMetadata(describe(task)),
  );
}

/** The generator as a TF.js graph model with the same ports: for `tf.loadGraphModel`. */
export function exportTfjs(
  task: Task,
  parameters: Float32Array,
  statistics: Float32Array,
): GraphModelFiles {
  const { graph, openAxes } = traceGenerator(task);
  const embed = embeddedValues(task, parameters, statistics);
  return lowerToGraphModel(graph, { embed, openAxes, metadata: formatMetadata(describe(task)) });
}

/** How the exported model is to be run. */
export function describe({ inference }: Task): ModelMetadata {
  return { scale: inference.scale, radius: inference.radius };
}

function traceGenerator(task: Task): OpenGraph {
  const network = networkOf(task);
  const tensors = [...network.parameters, ...network.statistics];
  const [graph, other] = traceSizes.map((shape) =>
    trace([{ name: inputName, shape }, ...tensors], (inputs) => ({
      [outputName]: task.inference.run({ ...inputs, input: inputs[inputName] }),
    })),
  );
  return openSizes(graph, other);
}

function embeddedValues(
  task: Task,
  parameters: Float32Array,
  statistics: Float32Array,
): Record<string, Float32Array> {
  const network = networkOf(task);
  return {
    ...viewsOf(createLayout(network.parameters), parameters),
    ...viewsOf(createLayout(network.statistics), statistics),
  };
}

function networkOf(task: Task): NetworkSpec {
  const network = task.networks.find(({ name }) => name === task.inference.network);
  if (network === undefined) throw new Error('the task has no network for inference');
  return network;
}
