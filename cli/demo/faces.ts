// Where the demo's photographs come from: the npm package tabler-ui, which ships 72 real faces,
// or what the operator names.

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { OperatorError } from '../../shared/problems.js';

/** The folder or url of `--faces`; without it the folder of the package's photographs. */
export function facesLocation(faces: string | undefined): string {
  if (faces !== undefined) return faces;
  try {
    const manifest = createRequire(import.meta.url).resolve('tabler-ui/package.json');
    return join(dirname(manifest), 'dist', 'demo', 'faces');
  } catch {
    throw new OperatorError('The demo has no photographs:', [
      {
        key: '--faces',
        given: undefined,
        allowed: 'a folder of face photographs, or an s3:// url of one',
        hint: 'the npm package tabler-ui, which ships some, is not installed here',
      },
    ]);
  }
}
