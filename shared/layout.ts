// Flat vectors with named slices: how parameters, gradients, moments and statistics lie in one
// Float32Array, so that exchange, optimizer and checkpoint never see a tensor library.
// Values are in TF.js's own order (row-major; filters are [height, width, in, out]).

/** A tensor without its values. */
export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** A network's tensors. Statistics are updated by averages, not by gradients. */
export interface NetworkSpec {
  readonly name: string;
  readonly parameters: readonly TensorSpec[];
  /** Running BatchNorm means and variances, by the name of the step's output for them. */
  readonly statistics: readonly TensorSpec[];
  /** Whether an average of the parameters over the updates is kept beside them. */
  readonly isAveraged?: boolean;
}

/** A tensor's place in a flat vector; offset and size in floats. */
export interface Slice extends TensorSpec {
  readonly offset: number;
  readonly size: number;
}

/** Slices one behind the other, without gaps. */
export interface FlatLayout {
  readonly slices: readonly Slice[];
  /** Floats in all. */
  readonly size: number;
}

/** Number of values of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Lays tensors one behind the other, in the order given. Names must differ. */
export function createLayout(tensors: readonly TensorSpec[]): FlatLayout {
  const slices: Slice[] = [];
  let offset = 0;
  for (const { name, shape } of tensors) {
    const size = sizeOf(shape);
    slices.push({ name, shape, offset, size });
    offset += size;
  }
  if (new Set(slices.map((slice) => slice.name)).size !== slices.length)
    throw new Error('two tensors of a layout have the same name');
  return { slices, size: offset };
}

/** Views of a flat vector by slice name; they share its memory. */
export function sliceViews(layout: FlatLayout, flat: Float32Array): Record<string, Float32Array> {
  if (flat.length !== layout.size)
    throw new Error(`a vector of ${layout.size} floats is needed, not ${flat.length}`);
  return Object.fromEntries(
    layout.slices.map((slice) => [
      slice.name,
      flat.subarray(slice.offset, slice.offset + slice.size),
    ]),
  );
}
