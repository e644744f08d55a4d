// Whether workers of an engine, in an image, can use the GPUs that they are given: what can be
// known of that before a pod starts.

import type { Problem } from '../../shared/problems.js';
import { imageOfEngine, imageSuffixes } from '../../shared/spec/engines.js';
import type { EngineName } from '../../shared/spec/schema.js';
import { engineProviders } from '../../worker/engine/engine.js';
import type { LaunchParameters } from './launch-parameters.js';

/** What is wrong between the engine, its provider, its GPUs and the image. */
export function gpuProblems(given: LaunchParameters, engine: EngineName): Problem[] {
  const { gpusPerWorker: gpus, provider } = given;
  const allowed = engineProviders[engine];
  if (provider !== undefined && !allowed.includes(provider)) {
    const words = `${allowed.join(', ')} with engine.name ${engine}`;
    return [{ key: '--provider', given: provider, allowed: words }];
  }
  // Whoever names a provider knows of an image that has it.
  if (gpus > 0 && provider === undefined && !imageOfEngine(engine).hasGpus) {
    const none = `0 with engine.name ${engine}`;
    return [{ key: '--gpus-per-worker', given: gpus, allowed: none, hint: gpuEngines }];
  }
  return imageProblems(given.image, engine);
}

const gpuEngines =
  'engine.name tensorflow with the image -gpu, or xla with -xla, computes on GPUs; --provider ' +
  "cuda is for an image of your own that has ONNX Runtime's CUDA provider";

/** A tag that Lockstep's own builds give; of any other image nothing is known. */
const ownTag = new RegExp(
  `(?:^|/)lockstep:(\\d+\\.\\d+\\.\\d+)(${imageSuffixes.join('|')})(?:@|$)`,
);

/** Each of Lockstep's images has the engine onnx, and at most one other. */
function imageProblems(image: string, engine: EngineName): Problem[] {
  const [, version, has] = ownTag.exec(image) ?? [];
  const { suffix } = imageOfEngine(engine);
  if (has === undefined || suffix === '' || has === suffix) return [];
  const allowed = `one that has the engine ${engine}, such as lockstep:${version}${suffix}`;
  return [{ key: '--image', given: image, allowed }];
}
