// Where trained weights lie, as operators write it (`init.generator`): a run, one of its
// checkpoints, or a safetensors file. Other files are refused by name, with how to convert them.

import { maskSecrets, type Problem } from '../problems.js';
import { parseStoreUrl, placeProblem } from '../store/places.js';
import type { Step } from '../words.js';
import { checkpointPrefix, parseCheckpointKey } from './manifest.js';

/** A place of weights. `root` is the store that they are in: the run's, or the file's folder. */
export type WeightsPlace =
  | { readonly kind: 'run'; readonly root: string }
  | { readonly kind: 'checkpoint'; readonly root: string; readonly step: Step }
  | { readonly kind: 'file'; readonly root: string; readonly key: string };

/** Parses a place of weights; an OperatorError when it is none. `key` is where it was given. */
export function parseWeightsPlace(url: string, key: string): WeightsPlace {
  const place = takeApart(url);
  return { ...place, root: parseStoreUrl(place.root, key).url };
}

/** The place of weights as `parseWeightsPlace` takes it apart again. */
export function weightsUrl(place: WeightsPlace): string {
  if (place.kind === 'run') return place.root;
  const below = place.kind === 'file' ? place.key : checkpointPrefix(place.step).slice(0, -1);
  return `${place.root}/${below}`;
}

/** Where PyTorch's and other programs' weights are told by the ending. */
const foreign = /\.(pth|pt|ckpt|bin|pkl|pickle|onnx|h5|hdf5|keras|npz|pb)$/i;

/** How a file of PyTorch's is made a safetensors file; docs/models.md has it as well. */
const conversion = `python3 -c "import torch, safetensors.torch as s; \
w = torch.load('x.pth', map_location='cpu', weights_only=True); \
s.save_file({k: v.contiguous() for k, v in w.items()}, 'x.safetensors')"`;

/** What is wrong with a place of weights that was given at `key`; undefined when nothing is. */
export function weightsPlaceProblem(key: string, url: string): Problem | undefined {
  const [ending] = foreign.exec(url) ?? [];
  if (ending === undefined) return placeProblem(key, takeApart(url).root);
  const allowed = 'a run, one of its checkpoints, or a file NAME.safetensors';
  const given = maskSecrets(url);
  // Pickles run programs of whoever wrote them.
  const isPytorch = /^\.(pth|pt|ckpt|bin|pkl|pickle)$/i.test(ending);
  return { key, given, allowed, ...(isPytorch ? { hint: `convert it: ${conversion}` } : {}) };
}

/** The root is not looked at here. */
function takeApart(url: string): WeightsPlace {
  const trimmed = url.replace(/\/+$/, '');
  const [, run, checkpoint] = /^(.+)\/(checkpoints\/step-\d+)$/.exec(trimmed) ?? [];
  const step = checkpoint && parseCheckpointKey(`${checkpoint}/x`)?.step;
  if (typeof step === 'number') return { kind: 'checkpoint', root: run, step };
  const [, folder, file] = /^(.+:\/\/|.+\/)([^/]+\.safetensors)$/.exec(trimmed) ?? [];
  if (file === undefined || folder === 's3://') return { kind: 'run', root: url };
  const root = folder === 'file://' ? 'file://.' : folder.replace(/\/$/, '');
  return { kind: 'file', root, key: file };
}
