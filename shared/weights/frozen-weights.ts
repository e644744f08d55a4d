// Weights that never change during a run: what they are, and that a reader of them finds the
// tensors it needs.

import { sizeOf, type TensorSpec } from '../layout.js';

/** Weights as they were read. */
export interface FrozenWeights {
  /** Of the file, or files, that they came from. */
  readonly sha256: string;
  /** Values in TF.js's order, by name. */
  readonly tensors: Pick<ReadonlyMap<string, Float32Array>, 'get'>;
}

/**
 * The values of those tensors whose names begin with `prefix`, which their own names lack; throws,
 * naming it, for one that is missing or of another size.
 */
export function takeTensors(
  { tensors }: FrozenWeights,
  wanted: readonly TensorSpec[],
  prefix = '',
): Record<string, Float32Array> {
  const ours = wanted.filter(({ name }) => name.startsWith(prefix));
  return Object.fromEntries(
    ours.map(({ name, shape }) => {
      const values = tensors.get(name.slice(prefix.length));
      if (values === undefined) throw new Error(`there is no tensor ${name}`);
      if (values.length !== sizeOf(shape))
        throw new Error(`${name} has ${values.length} values, not those of [${shape.join(', ')}]`);
      return [name, values];
    }),
  );
}
