// A trained generator as a model that needs nothing of Lockstep: ONNX, or TF.js's graph model.
// Both come from the task's own forward pass, traced, with parameters and statistics inside and
// the number and size of pictures left open. And its weights alone, as PyTorch has them.

import { encodeSafetensors } from '../shared/checkpoint/safetensors.js';
import { createLayout, sliceViews, type NetworkSpec } from '../shared/layout.js';
import type { GeneratorSpec } from '../shared/spec/schema.js';
import { pytorchTensors, toPytorch } from '../task/srgan/pytorch.js';
import type { Task } from '../task/task.js';
import { lowerToGraphModel, type GraphModelFiles } from '../trace/lower/graph-model.js';
import { lowerDynamic } from '../trace/lower/onnx/lower.js';
import type { StepGraph } from '../trace/step-graph.js';
import { trace } from '../trace/trace.js';
import { appendMetadata, formatMetadata, modelInput, modelOutput } from './model-metadata.js';

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
    [modelInput]: ['n', 'h', 'w', 3],
    [modelOutput]: ['n', `${task.inference.scale}h`, `${task.inference.scale}w`, 3],
  };
  const embed = embeddedValues(task, parameters, statistics);
  return appendMetadata(
    lowerDynamic(graph, other, { symbolicDims, embed }),
    formatMetadata(task.inference),
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
  return lowerToGraphModel(graph, { embed, openAxes, metadata: formatMetadata(task.inference) });
}

/**
 * The generator's weights as the state dict of the SRResNet in examples/pytorch/srresnet.py, a
 * safetensors file; its metadata say how that network is built.
 */
export function exportPytorch(
  task: Task,
  generator: GeneratorSpec,
  parameters: Float32Array,
  statistics: Float32Array,
): Uint8Array {
  const values = embeddedValues(task, parameters, statistics);
  const tensors = pytorchTensors(generator, networkOf(task)).map((tensor) => ({
    name: tensor.pytorchName,
    shape: tensor.pytorchShape,
    data: toPytorch(tensor, values[tensor.name]),
  }));
  const metadata = { format: 'pt', 'lockstep.generator': JSON.stringify(generator) };
  return encodeSafetensors(tensors, metadata);
}

interface TracedGenerator {
  readonly graph: StepGraph;
  /** The same function at the other size: `lowerDynamic` compares what it makes of both. */
  readonly other: StepGraph;
  /** Axes of inputs and outputs, by their names, whose extents differ between the two. */
  readonly openAxes: Readonly<Record<string, readonly number[]>>;
}

function traceGenerator(task: Task): TracedGenerator {
  const network = networkOf(task);
  const tensors = [...network.parameters, ...network.statistics];
  const [graph, other] = traceSizes.map((shape) =>
    trace([{ name: modelInput, shape }, ...tensors], (inputs) => ({
      [modelOutput]: task.inference.run({ ...inputs, input: inputs[modelInput] }),
    })),
  );
  if (fingerprint(graph) !== fingerprint(other))
    throw new Error('the graph depends on the size of its input: it cannot be exported');
  const [ports, others] = [graph, other].map(portShapes);
  const openAxes = ports.map(([name, shape], i) => {
    const axes = shape.flatMap((extent, axis) => (extent === others[i][1][axis] ? [] : [axis]));
    return [name, axes] as const;
  });
  return { graph, other, openAxes: Object.fromEntries(openAxes) };
}

/** Everything a graph computes, except the shapes that flow through it. */
function fingerprint({ inputs, outputs, nodes, constants, values }: StepGraph): string {
  const known = [...constants].map(([id, constant]) => [id, constant, values[id]]);
  return JSON.stringify([inputs, outputs, nodes, known]);
}

function portShapes({ inputs, outputs, values }: StepGraph) {
  return [...inputs, ...outputs].map(({ name, value }) => [name, values[value].shape] as const);
}

function embeddedValues(
  task: Task,
  parameters: Float32Array,
  statistics: Float32Array,
): Record<string, Float32Array> {
  const network = networkOf(task);
  return {
    ...sliceViews(createLayout(network.parameters), parameters),
    ...sliceViews(createLayout(network.statistics), statistics),
  };
}

function networkOf(task: Task): NetworkSpec {
  const network = task.networks.find(({ name }) => name === task.inference.network);
  if (network === undefined) throw new Error('the task has no network for inference');
  return network;
}
