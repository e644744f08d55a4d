// The GPUs of this machine, as NVIDIA's driver lists them and CUDA_VISIBLE_DEVICES restricts them.

import { execFileSync, type StdioOptions } from 'node:child_process';
import { visibleDevices } from '../../shared/environment.js';
import { OperatorError } from '../../shared/problems.js';

export interface Gpu {
  /** Number or UUID: a value for CUDA_VISIBLE_DEVICES. */
  readonly id: string;
  /** "NVIDIA H100 80GB HBM3"; empty when the driver does not say. */
  readonly name: string;
}

/** All GPUs that the driver lists; none where there is no driver. */
export function listGpus(): Gpu[] {
  try {
    const args = ['--query-gpu=index,name', '--format=csv,noheader'];
    const stdio: StdioOptions = ['ignore', 'pipe', 'ignore'];
    return parseGpus(
      execFileSync('nvidia-smi', args, { encoding: 'utf8', stdio, timeout: 20_000 }),
    );
  } catch {
    return [];
  }
}

/** Parses what nvidia-smi prints: "0, NVIDIA H100 80GB HBM3", a line a GPU. */
export function parseGpus(text: string): Gpu[] {
  return text
    .split('\n')
    .map((line) => /^\s*(\d+)\s*,\s*(.*?)\s*$/.exec(line))
    .filter((match) => match !== null)
    .map(([, id, name]) => ({ id: id ?? '', name: name ?? '' }));
}

/**
 * The devices that `--gpus` names: "all" or numbers (or UUIDs) with commas between them. Within
 * CUDA_VISIBLE_DEVICES, if that is set, which is how schedulers hand out GPUs.
 */
export function chooseDevices(asked: string, present: readonly Gpu[] = listGpus()): string[] {
  const allowed = visibleDevices() ?? present.map(({ id }) => id);
  const chosen = asked === 'all' ? allowed : asked.split(',').map((id) => id.trim());
  const unknown = chosen.filter((id) => !allowed.includes(id));
  const isTwice = new Set(chosen).size < chosen.length;
  if (chosen.length > 0 && unknown.length === 0 && !isTwice) return chosen;
  throw new OperatorError('these GPUs can not be used', [
    {
      key: '--gpus',
      given: asked,
      allowed:
        allowed.length > 0
          ? `all, or some of ${allowed.join(',')}, each once`
          : 'a machine with a GPU: nvidia-smi lists none here',
    },
  ]);
}
