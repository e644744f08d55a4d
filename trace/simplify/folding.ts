// What a kernel yields when its inputs are constants of one number each ("fills"): one number
// again. Arithmetic is rounded to float32 after each operation, as the kernels do.

const f = Math.fround;

const unary: Readonly<Record<string, (x: number) => number>> = {
  Neg: (x) => -x,
  Abs: Math.abs,
  Sign: Math.sign,
  Square: (x) => f(x * x),
  Sqrt: (x) => f(Math.sqrt(x)),
  Reciprocal: (x) => f(1 / x),
  Relu: (x) => Math.max(0, x),
  Identity: (x) => x,
  Reshape: (x) => x,
  ExpandDims: (x) => x,
  Transpose: (x) => x,
  Tile: (x) => x,
  BroadcastTo: (x) => x,
  Slice: (x) => x,
};

const binary: Readonly<Record<string, (a: number, b: number) => number>> = {
  Add: (a, b) => f(a + b),
  Sub: (a, b) => f(a - b),
  Multiply: (a, b) => f(a * b),
  RealDiv: (a, b) => f(a / b),
  Maximum: Math.max,
  Minimum: Math.min,
  SquaredDifference: (a, b) => f(f(a - b) * f(a - b)),
};

/**
 * The number that fills the output of `kernel` when numbers fill its inputs, in their order;
 * undefined when that is not known. `counted` is how many values one output value sums.
 */
export function foldFills(
  kernel: string,
  fills: readonly number[],
  counted: number,
): number | undefined {
  const [a, b] = fills;
  if (fills.length === 1 && kernel === 'Sum') return f(a * counted);
  if (fills.length === 1 && kernel === 'Mean') return a;
  if (fills.length === 1) return unary[kernel]?.(a);
  if (fills.length === 2) return binary[kernel]?.(a, b);
  return undefined;
}
