// Matrix products and changes of resolution.

import { attribute, input, output, type Lowering } from '../lowering.js';

const resizing = (attrs: Readonly<Record<string, unknown>>) => ({
  align_corners: { b: attrs['alignCorners'] === true },
  half_pixel_centers: { b: attrs['halfPixelCenters'] === true },
});

export const productLowerings: Readonly<Record<string, Lowering>> = {
  BatchMatMul: (b, call) => {
    const operands = [input(call, 'a'), input(call, 'b')];
    const names = operands.map(({ name }) => name);
    const [a, c] = ['transposeA', 'transposeB'].map((name) => ({
      b: attribute<boolean>(call, name),
    }));
    if (operands.every(({ shape }) => shape.length === 2))
      return b.op('MatMul', names, { transpose_a: a, transpose_b: c });
    return b.op('BatchMatMulV2', names, { adj_x: a, adj_y: c });
  },
  ResizeNearestNeighbor: (b, call) => {
    const size = b.integers(output(call).shape.slice(1, 3));
    return b.op('ResizeNearestNeighbor', [input(call, 'images').name, size], resizing(call.attrs));
  },
  ResizeNearestNeighborGrad: (b, call) => {
    const size = b.integers(output(call).shape.slice(1, 3));
    return b.op('ResizeNearestNeighborGrad', [input(call, 'dy').name, size], resizing(call.attrs));
  },
};
