// Where the programs of the control plane are, which `build-control-plane.sh` makes: tests skip by
// name without them.

import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { readEnvironment } from '../../shared/environment.js';

const programs = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubectl',
] as const;

export type Program = (typeof programs)[number];

/** Paths of all programs; undefined when one is missing. */
export function findPrograms(): Record<Program, string> | undefined {
  const folder = readEnvironment().test.kubernetes;
  if (folder === undefined) return undefined;
  const paths = programs.map((program): [Program, string] => [program, join(folder, program)]);
  if (!paths.every(([, path]) => isProgram(path))) return undefined;
  return Object.fromEntries(paths) as Record<Program, string>;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** For `{ skip }` of a suite: false when the programs are there, else the reason. */
export function skipWithoutControlPlane(): false | string {
  if (findPrograms() !== undefined) return false;
  return 'no Kubernetes control plane: npm run test:k8s builds one, for which it needs Go';
}
