// Matrix products. ONNX Runtime splits one among threads along the longer side of its result, and
// how it groups the sums depends on how many columns a thread gets. So a product with more columns
// than rows is computed as its transpose, which costs nothing: then only rows are split, and the
// bytes do not depend on the number of threads.

import { microsoft, type OnnxBuilder } from '../builder.js';
import { attribute, input, outputShape, type Lowering } from '../lowering.js';
import { iota, plainName, stored, type OnnxValue } from '../value.js';

/** A matrix, or a stack of them, and whether it is meant transposed. */
export interface Factor {
  readonly name: string;
  readonly isTransposed: boolean;
}

/** The product a * b by ONNX Runtime's own operator; transposition comes free. */
export function multiply(b: OnnxBuilder, left: Factor, right: Factor): string {
  const [transA, transB] = [left, right].map(({ isTransposed }) => (isTransposed ? 1 : 0));
  const attrs = { transA: transA, transB: transB };
  return b.emit('FusedMatMul', [left.name, right.name], attrs, microsoft);
}

const transposed = ({ name, isTransposed }: Factor): Factor => ({
  name,
  isTransposed: !isTransposed,
});

/** The product of matrices, or of equal stacks of them, as a value of `shape`. */
function product(b: OnnxBuilder, left: Factor, right: Factor, shape: readonly number[]): OnnxValue {
  const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
  if (rows >= columns) return stored(multiply(b, left, right), shape, 'float32');
  const stack = iota(shape.length - 2);
  const order = [...stack, shape.length - 1, shape.length - 2];
  return stored(multiply(b, transposed(right), transposed(left)), shape, 'float32', order);
}

/** The same in ONNX's own operators. */
function portableProduct(b: OnnxBuilder, left: Factor, right: Factor, rank: number): string {
  const perm = [...iota(rank - 2), rank - 1, rank - 2];
  const names = [left, right].map(({ name, isTransposed }) =>
    isTransposed ? b.emit('Transpose', [name], { perm }) : name,
  );
  return b.emit('MatMul', names);
}

export const productLowerings: Readonly<Record<string, Lowering>> = {
  BatchMatMul: (b, call) => {
    const [x, y] = [input(call, 'a'), input(call, 'b')];
    const left = { name: plainName(b, x), isTransposed: attribute<boolean>(call, 'transposeA') };
    const right = { name: plainName(b, y), isTransposed: attribute<boolean>(call, 'transposeB') };
    const shape = outputShape(call);
    if (b.options.forRuntime) return product(b, left, right, shape);
    return stored(portableProduct(b, left, right, x.shape.length), shape, 'float32');
  },
};
