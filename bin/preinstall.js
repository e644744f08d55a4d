// Lets an installation go on where ONNX Runtime's own script after its install can't download the
// CUDA libraries that npm's registry is too small for (linux x64, from NuGet): on a closed network
// it ends with an error, and `npm install` with it. What the package itself carries is enough for
// the CPU.
// npm runs this once all packages lie on the disk, and before any script that comes after an
// install. `node ./script/install` takes a file of that very name before `install.js`, so that
// nothing of the package is changed.

import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const attempt = `// Written by lockstep: a download that fails is no failed installation.
const { status } = require('node:child_process').spawnSync(
  process.execPath,
  [require.resolve('./install.js')],
  { stdio: ['ignore', 'ignore', 'ignore'] },
);
if (status !== 0)
  console.error(
    'lockstep: the CUDA libraries of ONNX Runtime could not be downloaded; --provider cuda needs ' +
      'them, the CPU does not. To try again: npm rebuild onnxruntime-node',
  );
`;

try {
  const entry = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
  writeFileSync(join(dirname(entry), 'script', 'install'), attempt);
} catch (error) {
  // No such package here yet, or one of another shape: its script then runs as it would have.
  process.stderr.write(`lockstep: ${error instanceof Error ? error.message : String(error)}\n`);
}
