// Matrix products. Without transposition they are ONNX's own; with, ONNX Runtime's FusedMatMul.

import { microsoft } from '../builder.js';
import { attribute, input, outputShape, type Lowering } from '../lowering.js';
import { plainName, stored } from '../value.js';

export const productLowerings: Readonly<Record<string, Lowering>> = {
  BatchMatMul: (b, call) => {
    const names = [plainName(b, input(call, 'a')), plainName(b, input(call, 'b'))];
    const transA = attribute<boolean>(call, 'transposeA') ? 1 : 0;
    const transB = attribute<boolean>(call, 'transposeB') ? 1 : 0;
    const name =
      transA + transB === 0
        ? b.emit('MatMul', names)
        : b.emit('FusedMatMul', names, { transA, transB }, microsoft);
    return stored(name, outputShape(call), 'float32');
  },
};
