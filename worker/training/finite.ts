// Whether numbers are all finite, found out at the speed of a sum.

/**
 * Whether no value is infinite or NaN. Sums in float64 decide it. Finite float32 values are below
 * 2^128 in size, so that a sum of n of them stays below n * 2^128: it could leave float64's range
 * (2^1024) with 2^896 of them, more than any memory holds. And a sum that has once become
 * infinite or NaN stays one of the two, whatever is added.
 */
export function areFinite(values: Float32Array): boolean {
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = values.length - (values.length % 4);
  for (let i = 0; i < whole; i += 4) {
    a += values[i];
    b += values[i + 1];
    c += values[i + 2];
    d += values[i + 3];
  }
  for (let i = whole; i < values.length; i++) a += values[i];
  return Number.isFinite(a + b + c + d);
}
