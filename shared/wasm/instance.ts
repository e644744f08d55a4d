// WebAssembly, as far as it is used: memories, and instances of the kernels that compile.js makes.

import { existsSync, readFileSync } from 'node:fs';

/** A memory; what threads share lies in a SharedArrayBuffer, and the object can be posted. */
export interface WasmMemory<Buffer extends ArrayBufferLike = ArrayBuffer> {
  readonly buffer: Buffer;
  /** Makes it larger by so many pages. Views of a shared memory stay valid, and as long. */
  grow(pages: number): number;
}

/** TypeScript knows it only among the browser's names. */
interface WebAssemblyTypes {
  readonly Memory: new (pages: { initial: number; maximum: number; shared?: boolean }) => unknown;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: object };
}
const { Memory, Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyTypes })
  .WebAssembly;

/** Bytes of a page, in which memories are counted. */
export const pageBytes = 65_536;
/** As many pages as 32-bit addresses reach: 4 GiB. */
export const mostPages = 65_536;

/** A memory of this process's own thread. */
export function createMemory(pages: number): WasmMemory {
  return new Memory({ initial: pages, maximum: pages }) as WasmMemory;
}

/** A memory for all threads, which can grow to 4 GiB; only what is touched takes real memory. */
export function createSharedMemory(pages: number): WasmMemory<SharedArrayBuffer> {
  const options = { initial: pages, maximum: mostPages, shared: true };
  return new Memory(options) as WasmMemory<SharedArrayBuffer>;
}

const compiled = new Map<string, object>();

/** The functions of the kernel in a .wasm file, working on `memory`. */
export function instantiate<Kernel>(file: URL, memory: WasmMemory<ArrayBufferLike>): Kernel {
  let module = compiled.get(file.href);
  if (module === undefined) {
    if (!existsSync(file)) throw new Error(`${file.pathname} is not there: run npm run build`);
    module = new Module(readFileSync(file));
    compiled.set(file.href, module);
  }
  return new Instance(module, { env: { memory } }).exports as Kernel;
}
