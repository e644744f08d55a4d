// Compiles the kernels of this folder to WebAssembly, into dist/ beside what calls them. `npm run
// build` runs it after tsc. It does nothing when that is newer than the sources.

import { mkdirSync, renameSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const folder = fileURLToPath(new URL('./', import.meta.url));
const out = join(root, 'dist', relative(root, folder), 'update-kernel.wasm');
const changed = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Exactly rounded operations only: without relaxed SIMD, which may fuse them. */
const flags = ['-O3', '--noAssert', '--runtime', 'stub', '--importMemory', '--enable', 'simd'];

const source = join(folder, 'update-kernel.ts');
if (changed(out) < Math.max(changed(source), changed(fileURLToPath(import.meta.url)))) {
  mkdirSync(join(out, '..'), { recursive: true });
  const { main } = await import('assemblyscript/asc');
  // Renamed into place whole: another build may run beside this one.
  const part = `${out}.${process.pid}`;
  const args = [relative(root, source), '--baseDir', root, '-o', relative(root, part), ...flags];
  const { error, stderr } = await main(args, {});
  if (error) {
    process.stderr.write(`${stderr.toString()}${error.message}\n`);
    process.exit(1);
  }
  renameSync(part, out);
}
