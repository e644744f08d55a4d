// Calls into a shared object, by npm's koffi: an optional package, like TensorFlow's. Loads one for
// good, gives addresses of arrays, reads what a pointer points to, and calls on this thread or,
// for what waits, on one of libuv's (`UV_THREADPOOL_SIZE`, 4 by default, which file access shares).

import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import { messageOf, OperatorError } from '../../../shared/problems.js';

/** A function of the plugin's that takes one pointer and gives one (0: null). */
export interface NativeFunction {
  call(argument: bigint): bigint;
  /** On another thread; what the argument points to must stay alive until it is done. */
  callAside(argument: bigint): Promise<bigint>;
}

/** A loaded shared object. It stays loaded until the process ends. */
export interface NativeLibrary {
  /** The address that an exported function without arguments gives. Throws if there is none. */
  callExported(name: string): bigint;
}

/**
 * Where the values of an array lie. They stay there as long as the array is alive, which its caller
 * sees to. An array of a few bytes must be one over an ArrayBuffer of its own.
 */
export function addressOf(array: ArrayBufferView): bigint {
  return koffi().address(array);
}

/** A copy of `size` bytes at an address. */
export function readMemory(address: bigint, size: number): Uint8Array<ArrayBuffer> {
  if (size === 0) return new Uint8Array(0);
  return new Uint8Array(koffi().view(address, size)).slice();
}

/** The number of 8 bytes at an address. */
export function readWord(address: bigint): bigint {
  return new DataView(readMemory(address, 8).buffer).getBigUint64(0, true);
}

/** `count` numbers of 8 bytes at an address. */
export function readWords(address: bigint, count: number): bigint[] {
  return [...new BigUint64Array(readMemory(address, 8 * count).buffer)];
}

/** The number of 4 bytes at an address. */
export function readInt(address: bigint): number {
  return new DataView(readMemory(address, 4).buffer).getInt32(0, true);
}

/** The function at an address. */
export function functionAt(address: bigint): NativeFunction {
  const library = koffi();
  pointerToPointer ??= library.proto('void *', ['void *']);
  const native = library.decode(address, pointerToPointer) as Koffi.KoffiFunc<
    (argument: bigint) => bigint | null
  >;
  return {
    call: (argument) => native(argument) ?? 0n,
    callAside: (argument) =>
      new Promise((resolve, reject) => {
        native.async(argument, (error: unknown, result) => {
          if (error === null || error === undefined) resolve(result ?? 0n);
          else reject(error);
        });
      }),
  };
}

let pointerToPointer: Koffi.TypeObject | undefined;
let loadedKoffi: typeof Koffi | undefined;

const require = createRequire(import.meta.url);

/** Whether npm's koffi is installed. */
export function hasKoffi(): boolean {
  try {
    require.resolve('koffi');
    return true;
  } catch {
    return false;
  }
}

/** Koffi runs native code on stacks of its own, and a compiler needs a deep one. */
const stackBytes = 16 * 1024 ** 2;

function koffi(): typeof Koffi {
  if (loadedKoffi !== undefined) return loadedKoffi;
  try {
    const found = require('koffi') as typeof Koffi;
    found.config({ sync_stack_size: stackBytes, async_stack_size: stackBytes });
    return (loadedKoffi = found);
  } catch (error) {
    throw new OperatorError('the engine xla is not set up', [
      {
        key: 'koffi',
        given: hasKoffi() ? messageOf(error) : undefined,
        allowed: 'the npm package that calls into plugins, with its binary for this machine',
        hint: 'npm run setup:xla installs it',
      },
    ]);
  }
}

/** Of dlfcn.h: resolve all symbols now, never unload. */
const pinned: Readonly<Record<string, number>> = { linux: 2 | 0x1000, darwin: 2 | 0x80 };

/**
 * Loads a shared object, and pins it: koffi unloads its libraries when Node ends, and the threads
 * of a plugin would crash then. Throws an Error with the loader's words.
 */
export function loadLibrary(path: string): NativeLibrary {
  const library = koffi();
  const handle = library.load(path);
  const flags = pinned[process.platform];
  if (flags !== undefined) library.load(null).func('dlopen', 'void *', ['str', 'int'])(path, flags);
  return {
    callExported: (name) => {
      const exported = handle.func(name, 'void *', []) as () => bigint | null;
      return exported() ?? 0n;
    },
  };
}
