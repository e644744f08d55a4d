// One setting of V8 that the exchange can't do without, because it costs half of its speed.

import { setFlagsFromString } from 'node:v8';

/**
 * Turns incremental marking off in this process. Frames are array buffers, hundreds of MiB a
 * step, and V8 answers that much external memory with a marking that then takes up to 5 ms at
 * every further buffer; measured, 0.5 CPU seconds for a step of 95 MiB become 0.24. Marking the
 * network thread's few MiB of objects in one go takes a millisecond or two.
 */
export function markInOneGo(): void {
  setFlagsFromString('--no-incremental-marking');
}
