// A generator's ONNX file as a function on pixels. It checks that the file is a generator that
// Lockstep exported, before the file is given to ONNX Runtime.

import { readFile, stat } from 'node:fs/promises';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { OperatorError, type Problem } from '../shared/problems.js';
import type { Network } from './enlarge.js';
import { inputName, outputName, parseMetadata, type ModelMetadata } from './model-metadata.js';
import { readMetadata } from './onnx-metadata.js';

/** A loaded generator; owns ONNX Runtime's session until `close`. */
export interface LoadedNetwork {
  readonly metadata: ModelMetadata;
  readonly run: Network;
  close(): Promise<void>;
}

/** A generator of the paper has 6 MB; nothing that fits a protobuf message is refused by size. */
const largestModelBytes = 2 ** 31 - 1;

/** Loads a model file; an OperatorError says what is wrong with it. */
export async function loadNetwork(path: string, threads: number): Promise<LoadedNetwork> {
  const model = await readModel(path);
  const metadata = metadataOf(path, model);
  const session = await createSession(path, model, threads);
  return {
    metadata,
    run: async (pixels, height, width) => {
      const input = new Tensor('float32', pixels, [1, height, width, 3]);
      const output = (await session.run({ [inputName]: input }))[outputName];
      return output.data as Float32Array;
    },
    close: () => session.release(),
  };
}

async function readModel(path: string): Promise<Uint8Array> {
  const allowed = 'a file that lockstep export RUN --format onnx wrote';
  try {
    const { size } = await stat(path);
    if (size <= largestModelBytes) return await readFile(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw refusal(`the model cannot be read: ${why}`, [{ key: 'model', given: path, allowed }]);
  }
  throw refusal('the model is too large', [{ key: 'model', given: path, allowed }]);
}

function metadataOf(path: string, model: Uint8Array): ModelMetadata {
  const texts = readMetadata(model);
  if (texts === undefined) {
    const allowed = 'an ONNX file that lockstep export RUN --format onnx wrote';
    throw refusal('the model is no ONNX file', [{ key: 'model', given: path, allowed }]);
  }
  const parsed = parseMetadata(texts);
  if ('metadata' in parsed) return parsed.metadata;
  throw refusal(`${path} is no generator that Lockstep exported`, parsed.problems);
}

async function createSession(
  path: string,
  model: Uint8Array,
  threads: number,
): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(model, {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      // Tiles come in several sizes, and a pattern for each would only hold memory.
      enableMemPattern: false,
      logSeverityLevel: 3,
    });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const allowed = 'a whole ONNX file';
    throw refusal(`ONNX Runtime refuses the model: ${why}`, [
      { key: 'model', given: path, allowed },
    ]);
  }
}

function refusal(what: string, problems: readonly Problem[]): OperatorError {
  return new OperatorError(what, problems);
}
