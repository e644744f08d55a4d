// The embedded engine: ONNX Runtime's kernels, as they come inside an npm package. It lowers a
// step graph to one ONNX model and runs it in one native call, which blocks the thread. Results
// are written straight into the caller's arrays. Its bytes do not depend on the number of threads.

import * as ort from 'onnxruntime-node';
import { lowerToOnnx } from '../../trace/lower/onnx/lower.js';
import type { StepGraph } from '../../trace/step-graph.js';
import type { CompiledGraph, Engine, EngineOptions } from './engine.js';
import { createHostEngineState } from './host-engine-state.js';
import { traceAndLower } from './lowering.js';
import { sessionOn, type OnnxProvider } from './onnx-providers.js';

/** Creates the engine; sessions are made by `compile`. */
export function createOnnxEngine(options: EngineOptions): Engine {
  const provider = (options.provider ?? 'cpu') as OnnxProvider;
  const compile: Engine['compile'] = async (inputs, f, factored) => {
    const lower = (graph: StepGraph) => {
      return { graph, model: lowerToOnnx(withDistinctPorts(graph), { forRuntime: true }) };
    };
    const { model, graph } = traceAndLower('onnx', inputs, f, lower, factored);
    const session = await createSession(model, provider, options);
    return onnxGraph(session, graph);
  };
  return {
    name: 'onnx',
    fingerprint: `onnx/${ort.env.versions.node}/${provider}`,
    devices: 1,
    // The session makes and frees its own; those of the caller are its arrays.
    nativeTensors: () => 0,
    compile,
    createState: (networks) => createHostEngineState(networks, compile),
    close: () => Promise.resolve(),
  };
}

function createSession(
  model: Uint8Array,
  provider: OnnxProvider,
  options: EngineOptions,
): Promise<ort.InferenceSession> {
  const create = () => ort.InferenceSession.create(model, sessionOptions(options, provider));
  return sessionOn(provider, create);
}

function sessionOptions(
  { threads, profile }: EngineOptions,
  provider: OnnxProvider,
): ort.InferenceSession.SessionOptions {
  return {
    executionProviders: [provider],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    // With patterns memory grows by half and the second step takes seconds; speed is the same.
    enableMemPattern: false,
    logSeverityLevel: 3,
    // It joins two fast transpositions of a filter into one that takes four times as long.
    extra: { optimization: { disable_specified_optimizers: 'TransposeOptimizer' } },
    ...(profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile }),
  };
}

// A gradient has the name of its parameter, but in ONNX no two values may share one.
const outputPrefix = 'out:';

function withDistinctPorts(graph: StepGraph): StepGraph {
  const outputs = graph.outputs.map((port) => ({ ...port, name: outputPrefix + port.name }));
  return { ...graph, outputs };
}

function onnxGraph(session: ort.InferenceSession, { inputs, values }: StepGraph): CompiledGraph {
  const given = new TensorCache(
    '',
    new Map(inputs.map(({ name, value }) => [name, values[value].shape])),
  );
  const made = new TensorCache(
    outputPrefix,
    new Map(session.outputMetadata.map((port) => [port.name, shapeOf(port)])),
  );
  return {
    run: async (feeds, fetches) => {
      const [fed, fetched] = [given.tensorsFor(feeds), made.tensorsFor(fetches)];
      given.copyIn();
      await session.run(fed, fetched);
      made.copyOut();
    },
    close: () => session.release(),
  };
}

function shapeOf(port: ort.InferenceSession.ValueMetadata): readonly number[] {
  if (!port.isTensor) throw new Error(`output ${port.name} is not a tensor`);
  return port.shape.map(Number);
}

/**
 * Tensors over the caller's arrays, made anew only when an array is another one. The binding
 * refuses shared memory: such an array gets a private copy beside it, which costs a pass over it.
 */
class TensorCache {
  private readonly tensors = new Map<string, { array: Float32Array; tensor: ort.Tensor }>();
  private copies: { readonly shared: Float32Array; readonly own: Float32Array }[] = [];

  constructor(
    private readonly prefix: string,
    private readonly shapes: ReadonlyMap<string, readonly number[]>,
  ) {}

  /** Tensors by the session's names; remembers which of them `copyIn` and `copyOut` concern. */
  tensorsFor(arrays: Record<string, Float32Array>): Record<string, ort.Tensor> {
    const result: Record<string, ort.Tensor> = {};
    this.copies = [];
    for (const [given, array] of Object.entries(arrays)) {
      const tensor = this.tensorOf(given, array);
      result[this.prefix + given] = tensor;
      if (tensor.data !== array)
        this.copies.push({ shared: array, own: tensor.data as Float32Array });
    }
    return result;
  }

  /** Brings the values of shared arrays into their copies. */
  copyIn(): void {
    for (const { shared, own } of this.copies) own.set(shared);
  }

  /** Brings the values of the copies into the shared arrays. */
  copyOut(): void {
    for (const { shared, own } of this.copies) shared.set(own);
  }

  private tensorOf(given: string, array: Float32Array): ort.Tensor {
    const name = this.prefix + given;
    const earlier = this.tensors.get(name);
    if (earlier?.array === array) return earlier.tensor;
    const shape = this.shapes.get(name);
    if (shape === undefined) throw new Error(`the graph has no port named '${given}'`);
    const isShared = array.buffer instanceof SharedArrayBuffer;
    const data = isShared ? new Float32Array(array.length) : array;
    const tensor = new ort.Tensor('float32', data, shape);
    this.tensors.set(name, { array, tensor });
    return tensor;
  }
}
