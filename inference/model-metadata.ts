// What an exported generator says about itself, as texts by key: enough to run it without the run
// it came from. Pure; where the texts lie in a file is the format's business.

import type { Problem } from '../shared/problems.js';

/** How to run an exported generator. */
export interface ModelMetadata {
  /** Output pixels a side for each input pixel. */
  readonly scale: number;
  /** Input pixels around a pixel that its output depends on: the overlap of tiles. */
  readonly radius: number;
}

/** Name and version of the conventions below: ports, layouts and ranges of values. */
const modelFormat = 'lockstep-generator/1';

/** The one input: float32 [n, h, w, 3], RGB in [0, 1]. */
export const inputName = 'lr';

/** The one output: float32 [n, scale * h, scale * w, 3], RGB, nominally in [-1, 1]. */
export const outputName = 'sr';

const limits = { scale: 16, radius: 4096 } as const;

/** The metadata as texts by key. */
export function formatMetadata({ scale, radius }: ModelMetadata): Record<string, string> {
  return {
    'lockstep.format': modelFormat,
    'lockstep.scale': String(scale),
    'lockstep.radius': String(radius),
    'lockstep.input': `${inputName}: float32 [n, h, w, 3], RGB in 0..1`,
    'lockstep.output': `${outputName}: float32 [n, ${scale}h, ${scale}w, 3], RGB in -1..1`,
  };
}

/** Reads the texts back; every problem found when they are not a generator's. */
export function parseMetadata(
  texts: Readonly<Record<string, string>>,
): { readonly metadata: ModelMetadata } | { readonly problems: readonly Problem[] } {
  const format = texts['lockstep.format'];
  if (format !== modelFormat) {
    const hint = 'lockstep export RUN --format onnx writes one';
    return { problems: [{ key: 'lockstep.format', given: format, allowed: modelFormat, hint }] };
  }
  const problems: Problem[] = [];
  const count = (name: keyof typeof limits): number => {
    const key = `lockstep.${name}`;
    const given = texts[key];
    const value = /^\d{1,6}$/.test(given ?? '') ? Number(given) : 0;
    if (value >= 1 && value <= limits[name]) return value;
    problems.push({ key, given, allowed: `a whole number from 1 to ${limits[name]}` });
    return 1;
  };
  const metadata = { scale: count('scale'), radius: count('radius') };
  return problems.length > 0 ? { problems } : { metadata };
}
