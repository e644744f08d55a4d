// A generator's ONNX file as a function on pixels. One that Lockstep exported says how it is run.
// Any other is refused, unless it has the same ports and does the same to a colour.

import { InferenceSession, Tensor } from 'onnxruntime-node';
import { messageOf, OperatorError, type Problem } from '../shared/problems.js';
import { sessionOn, type OnnxProvider } from '../worker/engine/onnx-providers.js';
import type { Network } from './enlarge.js';
import { parseMetadata, readMetadata, type ModelMetadata } from './model-metadata.js';
import { readModel, type ModelFile, type ShippedModel } from './models.js';

/** A loaded generator; owns ONNX Runtime's session until `close`. */
export interface LoadedNetwork {
  readonly metadata: ModelMetadata;
  /** Only of a model that ships. */
  readonly shipped?: ShippedModel;
  readonly run: Network;
  /** As `run`, into memory that the next call writes over: for tile after tile. */
  readonly runInPlace: Network;
  close(): Promise<void>;
}

/** Loads a model: the name of one that ships, or a file. An OperatorError says what is wrong. */
export async function loadNetwork(
  model: string,
  threads: number,
  provider: OnnxProvider = 'cpu',
): Promise<LoadedNetwork> {
  return loadModelFile(await readModel(model), threads, provider);
}

/** Loads a model that has been read. An OperatorError says what is wrong. */
export async function loadModelFile(
  file: ModelFile,
  threads: number,
  provider: OnnxProvider = 'cpu',
): Promise<LoadedNetwork> {
  const metadata = metadataOf(file);
  const session = await createSession(file, threads, provider);
  try {
    const known = metadata ?? (await foreignMetadata(file.path, session));
    return {
      metadata: known,
      ...(file.shipped === undefined ? {} : { shipped: file.shipped }),
      run: networkOf(session),
      runInPlace: inPlace(session, known.scale),
      close: () => session.release(),
    };
  } catch (error) {
    await session.release();
    throw error;
  }
}

/** What the file says of itself; undefined for one of another program's. */
function metadataOf({ path, bytes }: ModelFile): ModelMetadata | undefined {
  const texts = bytes.length === 0 ? undefined : readMetadata(bytes);
  if (texts === undefined) throw refusal(path, 'the model is no ONNX file', exported);
  if (!Object.keys(texts).some((key) => key.startsWith('lockstep.'))) return undefined;
  const parsed = parseMetadata(texts);
  if ('metadata' in parsed) return parsed.metadata;
  throw new OperatorError(`${path} is no generator that Lockstep exported`, parsed.problems);
}

async function createSession(
  { path, bytes }: ModelFile,
  threads: number,
  provider: OnnxProvider,
): Promise<InferenceSession> {
  const create = () =>
    InferenceSession.create(bytes, {
      executionProviders: [provider],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      // Tiles come in several sizes, and a pattern for each would only hold memory.
      enableMemPattern: false,
      // It grows by doubling, and keeps what the largest tile needed.
      enableCpuMemArena: false,
      logSeverityLevel: 3,
    });
  try {
    return await sessionOn(provider, create);
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    throw refusal(path, `ONNX Runtime refuses the model: ${messageOf(error)}`, 'a whole ONNX file');
  }
}

function networkOf(session: InferenceSession): Network {
  const [input] = session.inputNames;
  const [output] = session.outputNames;
  return async (pixels, height, width) => {
    const given = new Tensor('float32', pixels, [1, height, width, 3]);
    return (await session.run({ [input]: given }))[output].data as Float32Array;
  };
}

/** Garbage of the size of tiles would lie about for long, since the collector doesn't see it. */
function inPlace(session: InferenceSession, scale: number): Network {
  const [input] = session.inputNames;
  const [output] = session.outputNames;
  let memory = new Float32Array(0);
  return async (pixels, height, width) => {
    const [tall, wide] = [scale * height, scale * width];
    const length = tall * wide * 3;
    if (memory.length < length) memory = new Float32Array(length);
    const made = memory.subarray(0, length);
    const given = new Tensor('float32', pixels, [1, height, width, 3]);
    const taken = new Tensor('float32', made, [1, tall, wide, 3]);
    await session.run({ [input]: given }, { [output]: taken });
    return made;
  };
}

/** Overlap of tiles where the file does not say what an output pixel depends on. */
const foreignRadius = 32;

/** One colour, and what becomes of it: [0, 1] in, [-1, 1] out, red first. */
const probe = { side: 16, colour: [0.75, 0.5, 0.25], expected: [0.5, 0, -0.5], tolerance: 0.2 };

/** How to run another program's model; an OperatorError unless it is just like one of ours. */
async function foreignMetadata(path: string, session: InferenceSession): Promise<ModelMetadata> {
  const problems = portProblems(session);
  if (problems.length > 0) throw foreign(path, problems);
  const { side, colour, expected, tolerance } = probe;
  const pixels = Float32Array.from({ length: side * side * 3 }, (_, i) => colour[i % 3]);
  const output = await networkOf(session)(pixels, side, side).catch((error: unknown) => {
    const allowed = `to run on [1, ${side}, ${side}, 3]`;
    throw foreign(path, [{ key: 'model', given: messageOf(error).slice(0, 200), allowed }]);
  });
  const scale = Math.sqrt(output.length / 3) / side;
  if (!Number.isInteger(scale) || scale < 1 || scale > 16) {
    const given = `${output.length} values for ${side}x${side} pixels`;
    throw foreign(path, [{ key: 'output', given, allowed: 'a whole number of pixels for each' }]);
  }
  const middle = Math.floor(output.length / 6 + (scale * side) / 2) * 3;
  const made = [...output.subarray(middle, middle + 3)];
  if (!made.every((value, i) => Math.abs(value - expected[i]) <= tolerance)) {
    const given = made.map((value) => value.toFixed(2)).join(', ');
    const allowed = `about ${expected.join(', ')} for the colour ${colour.join(', ')}`;
    throw foreign(path, [{ key: 'output', given, allowed, hint: 'RGB, 0..1 in, -1..1 out' }]);
  }
  return { scale, radius: foreignRadius };
}

/** What the ports have that those of our generators do not. */
function portProblems({ inputMetadata, outputMetadata }: InferenceSession): Problem[] {
  return (['input', 'output'] as const).flatMap((key): Problem[] => {
    const ports = key === 'input' ? inputMetadata : outputMetadata;
    const given = ports.map((port) =>
      port.isTensor ? `${port.type} [${port.shape.join(', ')}]` : `${port.name}: no tensor`,
    );
    const [port] = ports;
    if (ports.length === 1 && port.isTensor && port.type === 'float32' && isOpen(port.shape))
      return [];
    return [{ key, given: given.join('; '), allowed: 'one float32 [n, h, w, 3], h and w open' }];
  });
}

/** NHWC with three channels, whose sizes are left open. */
function isOpen(shape: readonly (number | string)[]): boolean {
  const [, height, width, channels] = shape;
  const isSized = [height, width].some((extent) => typeof extent === 'number' && extent > 0);
  return shape.length === 4 && channels === 3 && !isSized;
}

const exported = 'an ONNX file that lockstep export RUN --format onnx wrote';

function foreign(path: string, problems: readonly Problem[]): OperatorError {
  const what = `${path} is no generator that Lockstep exported, and is not like one`;
  return new OperatorError(what, problems);
}

function refusal(path: string, what: string, allowed: string): OperatorError {
  return new OperatorError(what, [{ key: 'model', given: path, allowed }]);
}
