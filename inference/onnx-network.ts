// A generator's ONNX file as a function on pixels. It checks that the file is a generator that
// Lockstep exported, before the file is given to ONNX Runtime.

import { InferenceSession, Tensor } from 'onnxruntime-node';
import { messageOf, OperatorError } from '../shared/problems.js';
import type { Network } from './enlarge.js';
import {
  modelInput,
  modelOutput,
  parseMetadata,
  readMetadata,
  type ModelMetadata,
} from './model-metadata.js';
import { readModel, type ShippedModel } from './models.js';

/** A loaded generator; owns ONNX Runtime's session until `close`. */
export interface LoadedNetwork {
  readonly metadata: ModelMetadata;
  /** Only of a model that ships. */
  readonly shipped?: ShippedModel;
  readonly run: Network;
  close(): Promise<void>;
}

/** Loads a model: the name of one that ships, or a file. An OperatorError says what is wrong. */
export async function loadNetwork(model: string, threads: number): Promise<LoadedNetwork> {
  const { path, bytes, shipped } = await readModel(model);
  const metadata = metadataOf(path, bytes);
  const session = await createSession(path, bytes, threads);
  return {
    metadata,
    ...(shipped === undefined ? {} : { shipped }),
    run: async (pixels, height, width) => {
      const input = new Tensor('float32', pixels, [1, height, width, 3]);
      const output = (await session.run({ [modelInput]: input }))[modelOutput];
      return output.data as Float32Array;
    },
    close: () => session.release(),
  };
}

function metadataOf(path: string, model: Uint8Array): ModelMetadata {
  const texts = readMetadata(model);
  if (texts === undefined) {
    const allowed = 'an ONNX file that lockstep export RUN --format onnx wrote';
    throw refusal(path, 'the model is no ONNX file', allowed);
  }
  const parsed = parseMetadata(texts);
  if ('metadata' in parsed) return parsed.metadata;
  throw new OperatorError(`${path} is no generator that Lockstep exported`, parsed.problems);
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
    throw refusal(path, `ONNX Runtime refuses the model: ${messageOf(error)}`, 'a whole ONNX file');
  }
}

function refusal(path: string, what: string, allowed: string): OperatorError {
  return new OperatorError(what, [{ key: 'model', given: path, allowed }]);
}
