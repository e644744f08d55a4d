// `npm run manifests`: writes the files below deploy/k8s that are made of the objects of a launch.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { packageFile } from '../../shared/paths.js';
import { printLine } from '../output.js';
import { manifestFiles } from './manifests.js';

for (const [path, text] of manifestFiles()) {
  const file = packageFile(`deploy/k8s/${path}`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  printLine(`deploy/k8s/${path}`);
}
