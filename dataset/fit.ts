// Whether pictures hold the crops of a spec: told before anything starts, sample by sample.

import type { Problem } from '../shared/problems.js';
import type { Size } from './decode.js';
import type { DatasetSample } from './index-format.js';

const maxProblems = 20;

/**
 * The size a picture is scaled to so that its shorter side has `shorter` pixels; 0 leaves it.
 * The longer side is rounded, and at least as long as the shorter one.
 */
export function resizedSize({ width, height }: Size, shorter: number): Size {
  if (shorter === 0) return { width, height };
  const longer = Math.round((Math.max(width, height) * shorter) / Math.min(width, height));
  return width < height ? { width: shorter, height: longer } : { width: longer, height: shorter };
}

/** The samples that hold no crop, once scaled, as problems (the first of them). */
export function fitProblems(
  samples: readonly DatasetSample[],
  { crop, resize }: { readonly crop: number; readonly resize: number },
): Problem[] {
  const isTooSmall = (sample: DatasetSample): boolean => {
    const { width, height } = resizedSize(sample, resize);
    return Math.min(width, height) < crop;
  };
  return samples
    .filter(isTooSmall)
    .slice(0, maxProblems)
    .map(({ key, width, height }) => ({
      key: `sample ${JSON.stringify(key)}`,
      given: `${width}x${height}`,
      allowed: `at least ${crop}x${crop}`,
      hint: `pack with --min-size ${crop}, set dataset.resize, or a smaller dataset.crop`,
    }));
}
