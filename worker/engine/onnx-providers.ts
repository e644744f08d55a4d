// What ONNX Runtime's providers need of a machine, said when one of them can't be had.

import type { InferenceSession } from 'onnxruntime-node';
import { messageOf, OperatorError } from '../../shared/problems.js';

/** Those that ONNX Runtime's npm package can have. */
export const onnxProviders = ['cpu', 'webgpu', 'cuda'] as const;
export type OnnxProvider = (typeof onnxProviders)[number];

const needs: Readonly<Record<Exclude<OnnxProvider, 'cpu'>, string>> = {
  webgpu: 'a machine with a GPU and its Vulkan driver',
  cuda:
    'a machine with CUDA 12, cuDNN 9 and the provider itself, which is a download: ' +
    'cd node_modules/onnxruntime-node && ONNXRUNTIME_NODE_INSTALL=cuda12 node script/install.js',
};

/** The session that `create` makes on a provider; an OperatorError where another than cpu fails. */
export async function sessionOn(
  provider: OnnxProvider,
  create: () => Promise<InferenceSession>,
): Promise<InferenceSession> {
  try {
    return await create();
  } catch (error) {
    if (provider === 'cpu') throw error;
    const hint = messageOf(error).slice(0, 500);
    throw new OperatorError(`ONNX Runtime can not compute with ${provider}`, [
      { key: '--provider', given: provider, allowed: needs[provider], hint },
    ]);
  }
}
