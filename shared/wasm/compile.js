// Compiles the kernels, which are AssemblyScript, to WebAssembly: each into dist/ beside what
// calls it. `npm run build` runs it after tsc. A kernel that is newer than its sources stays.

import { mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const changed = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Exactly rounded operations only: without relaxed SIMD, which may fuse them. */
const flags = ['-O3', '--noAssert', '--runtime', 'stub', '--importMemory', '--enable', 'simd'];
/** For a memory that threads share; the largest one there is, in pages of 64 KiB. */
const shared = ['--enable', 'threads', '--sharedMemory', '--maximumMemory', '65536'];

const kernels = [
  { source: 'shared/checkpoint/assembly/digest-kernel.ts', flags },
  { source: 'worker/engine/assembly/update-kernel.ts', flags },
  { source: 'worker/exchange/assembly/sum-kernel.ts', flags: [...flags, ...shared] },
];

for (const { source, flags } of kernels) {
  const out = join(root, 'dist', source.replace(/\.ts$/, '.wasm'));
  const newest = Math.max(changed(join(root, source)), changed(fileURLToPath(import.meta.url)));
  if (changed(out) >= newest) continue;
  mkdirSync(dirname(out), { recursive: true });
  const { main } = await import('assemblyscript/asc');
  // Renamed into place whole: another build may run beside this one.
  const part = `${out}.${process.pid}`;
  const args = [source, '--baseDir', root, '-o', relative(root, part), ...flags];
  const { error, stderr } = await main(args, {});
  if (error) {
    process.stderr.write(`${stderr.toString()}${error.message}\n`);
    process.exit(1);
  }
  renameSync(part, out);
}
