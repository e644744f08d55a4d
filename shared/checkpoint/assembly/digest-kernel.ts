// The rounds of a state's digest, in AssemblyScript: WebAssembly with SIMD, a lane of the digest in
// each lane of a vector. Compiled by shared/wasm/compile.js, called by ../digests.ts.

/**
 * Takes words in, four at a time, one for each of the four lanes at `lanes`. Places and lengths are
 * in bytes; `bytes` is a multiple of 16.
 */
export function absorb(lanes: usize, words: usize, bytes: usize): void {
  const prime1 = i32x4.splat(-0x61c8864f);
  const prime2 = i32x4.splat(-0x7a143589);
  let all = v128.load(lanes);
  for (let at: usize = 0; at < bytes; at += 16) {
    const sum = i32x4.add(all, i32x4.mul(v128.load(words + at), prime2));
    all = i32x4.mul(v128.or(i32x4.shl(sum, 13), i32x4.shr_u(sum, 19)), prime1);
  }
  v128.store(lanes, all);
}
