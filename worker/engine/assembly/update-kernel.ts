// The update of a step on the host, in AssemblyScript: WebAssembly with SIMD, four float32 values
// at a time. Every operation is exactly rounded and none are fused, so that the bytes are those of
// task/ops/update.ts on every machine. Vectors are places in memory, in bytes; `floats` is a
// multiple of 4, so vectors are padded to one. Compiled by compile.js, called by ../host-state.ts.

/**
 * Adam, in place: new moments, and the parameters' step by them. Gives the sum of the gradient's
 * squares, in float64.
 */
export function adam(
  parameters: usize,
  firstMoment: usize,
  secondMoment: usize,
  gradient: usize,
  floats: usize,
  beta1: f32,
  rest1: f32,
  beta2: f32,
  rest2: f32,
  epsilon: f32,
  rate: f32,
  scale2: f32,
): f64 {
  const keep1 = f32x4.splat(beta1);
  const take1 = f32x4.splat(rest1);
  const keep2 = f32x4.splat(beta2);
  const take2 = f32x4.splat(rest2);
  const least = f32x4.splat(epsilon);
  const pace = f32x4.splat(rate);
  const scale = f32x4.splat(scale2);
  let squares = f64x2.splat(0);
  for (let at: usize = 0; at < floats << 2; at += 16) {
    const g = v128.load(gradient + at);
    const low = f64x2.promote_low_f32x4(g);
    const high = f64x2.promote_low_f32x4(i64x2.shuffle(g, g, 1, 0));
    squares = f64x2.add(f64x2.add(squares, f64x2.mul(low, low)), f64x2.mul(high, high));
    const m = f32x4.add(f32x4.mul(keep1, v128.load(firstMoment + at)), f32x4.mul(take1, g));
    const square = f32x4.mul(f32x4.mul(take2, g), g);
    const v = f32x4.add(f32x4.mul(keep2, v128.load(secondMoment + at)), square);
    const root = f32x4.sqrt(f32x4.mul(v, scale));
    const step = f32x4.div(f32x4.mul(pace, m), f32x4.add(root, least));
    v128.store(firstMoment + at, m);
    v128.store(secondMoment + at, v);
    v128.store(parameters + at, f32x4.sub(v128.load(parameters + at), step));
  }
  return f64x2.extract_lane(squares, 0) + f64x2.extract_lane(squares, 1);
}

/** Moves an average towards the parameters, in place. */
export function follow(average: usize, parameters: usize, floats: usize, rest: f32): void {
  const share = f32x4.splat(rest);
  for (let at: usize = 0; at < floats << 2; at += 16) {
    const old = v128.load(average + at);
    const distance = f32x4.sub(v128.load(parameters + at), old);
    v128.store(average + at, f32x4.add(old, f32x4.mul(share, distance)));
  }
}
