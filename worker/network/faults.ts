// Misbehaving on purpose, for `lockstep chaos` and the tests of faults.

/** Longest time that a worker can be made to stand still. */
const maxMs = 600_000;

/** Blocks the calling thread, as if it were frozen; its sockets stay open. */
export function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.min(ms, maxMs));
}
