// The sums of the canonical tree in AssemblyScript: WebAssembly with SIMD, on memory that threads
// share. Places are in bytes and multiples of 16; `count` is in values, and up to 7 values behind
// it are computed along: what lies in this memory is padded. Every operation is exactly rounded.

/** Upper halves of 8 float32 values: bfloat16, once they are rounded. */
function upperHalves(a: v128, b: v128): v128 {
  return v128.shuffle<u8>(a, b, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
}

/** Rounds to bfloat16, nearest even, in the upper half of each value; NaN stays a (quiet) NaN. */
function roundUpper(values: v128): v128 {
  const odd = v128.and(i32x4.shr_u(values, 16), i32x4.splat(1));
  const rounded = i32x4.add(values, i32x4.add(odd, i32x4.splat(0x7fff)));
  const quiet = v128.or(values, i32x4.splat(0x00400000));
  return v128.bitselect(rounded, quiet, f32x4.eq(values, values));
}

function round8(a: v128, b: v128): v128 {
  return upperHalves(roundUpper(a), roundUpper(b));
}

/** The first, or last, four of eight bfloat16 values as float32. */
function widenLow(values: v128): v128 {
  return i32x4.shl(i32x4.extend_low_i16x8_u(values), 16);
}

function widenHigh(values: v128): v128 {
  return i32x4.shl(i32x4.extend_high_i16x8_u(values), 16);
}

/** out = left + right, float32; `out` may be one of the two. */
export function sum32(out: usize, left: usize, right: usize, count: usize): void {
  const end = out + (count << 2);
  for (; out < end; out += 32, left += 32, right += 32) {
    v128.store(out, f32x4.add(v128.load(left), v128.load(right)));
    v128.store(out, f32x4.add(v128.load(left, 16), v128.load(right, 16)), 16);
  }
}

/** out = (left + right) * scale, float32, rounded after each. */
export function mean32(out: usize, left: usize, right: usize, count: usize, scale: f32): void {
  const factor = f32x4.splat(scale);
  const end = out + (count << 2);
  for (; out < end; out += 32, left += 32, right += 32) {
    const a = f32x4.add(v128.load(left), v128.load(right));
    const b = f32x4.add(v128.load(left, 16), v128.load(right, 16));
    v128.store(out, f32x4.mul(a, factor));
    v128.store(out, f32x4.mul(b, factor), 16);
  }
}

/** out = values * scale, float32. */
export function scale32(out: usize, values: usize, count: usize, scale: f32): void {
  const factor = f32x4.splat(scale);
  const end = out + (count << 2);
  for (; out < end; out += 32, values += 32) {
    v128.store(out, f32x4.mul(v128.load(values), factor));
    v128.store(out, f32x4.mul(v128.load(values, 16), factor), 16);
  }
}

/** out = left + right, bfloat16: added in float32 and rounded. */
export function sum16(out: usize, left: usize, right: usize, count: usize): void {
  const end = out + (count << 1);
  for (; out < end; out += 16, left += 16, right += 16) {
    const l = v128.load(left);
    const r = v128.load(right);
    const a = f32x4.add(widenLow(l), widenLow(r));
    const b = f32x4.add(widenHigh(l), widenHigh(r));
    v128.store(out, round8(a, b));
  }
}

/** out = (left + right) * scale, bfloat16, rounded to it after each. */
export function mean16(out: usize, left: usize, right: usize, count: usize, scale: f32): void {
  const factor = f32x4.splat(scale);
  const upper = i32x4.splat(0xffff0000);
  const end = out + (count << 1);
  for (; out < end; out += 16, left += 16, right += 16) {
    const l = v128.load(left);
    const r = v128.load(right);
    const a = v128.and(roundUpper(f32x4.add(widenLow(l), widenLow(r))), upper);
    const b = v128.and(roundUpper(f32x4.add(widenHigh(l), widenHigh(r))), upper);
    v128.store(out, round8(f32x4.mul(a, factor), f32x4.mul(b, factor)));
  }
}

/** out = values * scale, bfloat16. */
export function scale16(out: usize, values: usize, count: usize, scale: f32): void {
  const factor = f32x4.splat(scale);
  const end = out + (count << 1);
  for (; out < end; out += 16, values += 16) {
    const v = v128.load(values);
    v128.store(out, round8(f32x4.mul(widenLow(v), factor), f32x4.mul(widenHigh(v), factor)));
  }
}

/** The squares of four float32 values, added in float64 to two sums. */
function addSquares(sums: v128, values: v128): v128 {
  const low = f64x2.promote_low_f32x4(values);
  const high = f64x2.promote_low_f32x4(i64x2.shuffle(values, values, 1, 0));
  return f64x2.add(f64x2.add(sums, f64x2.mul(low, low)), f64x2.mul(high, high));
}

function total(sums: v128): f64 {
  return f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1);
}

/** out = values; the sum of their squares. Values behind `count` must be zeros. */
export function put32(out: usize, values: usize, count: usize): f64 {
  let sums = f64x2.splat(0);
  const end = out + (count << 2);
  for (; out < end; out += 16, values += 16) {
    const v = v128.load(values);
    v128.store(out, v);
    sums = addSquares(sums, v);
  }
  return total(sums);
}

/** out = out + values, float32; the sum of the squares of `values`, with zeros behind them. */
export function add32(out: usize, values: usize, count: usize): f64 {
  let sums = f64x2.splat(0);
  const end = out + (count << 2);
  for (; out < end; out += 16, values += 16) {
    const v = v128.load(values);
    v128.store(out, f32x4.add(v128.load(out), v));
    sums = addSquares(sums, v);
  }
  return total(sums);
}

/** out (bfloat16) = values (float32); the sum of the squares of `values`, zeros behind them. */
export function put16(out: usize, values: usize, count: usize): f64 {
  let sums = f64x2.splat(0);
  const end = out + (count << 1);
  for (; out < end; out += 16, values += 32) {
    const a = v128.load(values);
    const b = v128.load(values, 16);
    v128.store(out, round8(a, b));
    sums = addSquares(addSquares(sums, a), b);
  }
  return total(sums);
}

/**
 * out (bfloat16) = out + values (float32), `values` rounded first; the sum of the squares of
 * `values` as they were, with zeros behind them.
 */
export function add16(out: usize, values: usize, count: usize): f64 {
  const upper = i32x4.splat(0xffff0000);
  let sums = f64x2.splat(0);
  const end = out + (count << 1);
  for (; out < end; out += 16, values += 32) {
    const a = v128.load(values);
    const b = v128.load(values, 16);
    const old = v128.load(out);
    const low = f32x4.add(widenLow(old), v128.and(roundUpper(a), upper));
    const high = f32x4.add(widenHigh(old), v128.and(roundUpper(b), upper));
    v128.store(out, round8(low, high));
    sums = addSquares(addSquares(sums, a), b);
  }
  return total(sums);
}

/** out (float32) = values (bfloat16). */
export function widen(out: usize, values: usize, count: usize): void {
  const end = out + (count << 2);
  for (; out < end; out += 32, values += 16) {
    const v = v128.load(values);
    v128.store(out, widenLow(v));
    v128.store(out, widenHigh(v), 16);
  }
}
