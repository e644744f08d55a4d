// Whether native code keeps memory, step after step. What is resident says little of it: glibc's
// heaps, up to 64 MiB a thread, come and go (https://sourceware.org/glibc/wiki/MallocInternals). What
// is in use of them does not.

import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import koffi from 'koffi';

/** Of `struct mallinfo2`, see mallinfo(3). */
const fields = 'arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost';
type InUse = Readonly<Record<'uordblks' | 'hblkhd', number | bigint>>;

/** How many times a watch looks; in the first quarter, caches and pools fill. */
const looks = 50;
/** Bytes. What threads are about to free, and keep for themselves, counts as in use. */
const tolerance = 4 * 1024 * 1024;

/** Watches this process for `steps` steps. Throws where the C library is no glibc 2.33 or newer. */
export function watchNativeMemory(steps: number) {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const sizes = fields.split(' ').map((name) => [name, 'size_t']);
  const result = koffi.struct(Object.fromEntries(sizes));
  const mallinfo2: () => InUse = koffi.load('libc.so.6').func('mallinfo2', result, []);
  const held: number[] = [];
  let taken = 0;
  return {
    /** To be called after each step. */
    look(): void {
      if (++taken % Math.ceil(steps / looks) !== 0) return;
      collectGarbage();
      const { uordblks, hblkhd } = mallinfo2();
      held.push(Number(uordblks) + Number(hblkhd) - process.memoryUsage().arrayBuffers);
    },
    /** Throws if more is in use in the second half than was before it. */
    assertNothingKept(): void {
      assert.equal(taken, steps);
      const quarter = held.length / 4;
      const early = Math.min(...held.slice(quarter, 2 * quarter));
      const late = Math.min(...held.slice(2 * quarter));
      assert.ok(late < early + tolerance, `bytes in use: ${held.join(', ')}`);
    },
  };
}
