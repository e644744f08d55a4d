// Optional npm packages of an engine: installed where Lockstep's own dependencies lie, without
// their install scripts; neither package.json nor the lockfile changes.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { parseJson } from '../../shared/bounded-json.js';
import { packageFile } from '../../shared/paths.js';
import { runProgram } from '../processes.js';

const here = packageFile('.');

/** Installs requirements ("name@1.0"); throws OperatorError when npm fails. */
export async function installNpmPackages(
  requirements: readonly string[],
  say: (text: string) => void,
): Promise<void> {
  const root = projectRoot();
  say(`installing ${requirements[0]} into ${join(root, 'node_modules')}`);
  // As a dependency it is an optional peer, which npm takes for installed: hence --save-prod.
  const kept = ['--no-save', '--save-prod', '--ignore-scripts', '--no-audit', '--no-fund'];
  const omitted = (await hasDevDependencies(root)) ? [] : ['--omit=dev'];
  await runProgram('npm', ['install', ...kept, ...omitted, ...requirements], {
    cwd: root,
    whenMissing: 'npm comes with Node',
    whenFailed: 'an npm that reaches the registry or a mirror of it (npm config set registry)',
  });
}

/** The folder whose node_modules holds Lockstep's dependencies. */
function projectRoot(): string {
  return basename(dirname(here)) === 'node_modules' ? dirname(dirname(here)) : here;
}

/** Whether the root's development tools are installed: npm must neither add nor remove them. */
async function hasDevDependencies(root: string): Promise<boolean> {
  const text = await readFile(join(root, 'package.json'), 'utf8');
  const { devDependencies = {} } = parseJson(text) as { devDependencies?: object };
  return Object.keys(devDependencies).some((name) => existsSync(join(root, 'node_modules', name)));
}
