// What a demo reads and leaves: the photographs that it trains on, and the one folder of results. A
// folder of an earlier demo is replaced; anything else stays unless the operator insists.

import { readdir, rm, writeFile } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import { packageFile } from '../../shared/paths.js';
import { makeFolder, pathFaults } from '../../shared/local-files.js';
import { OperatorError } from '../../shared/problems.js';

/** File that says that a folder is a demo's, and may be replaced by the next. */
export const markerFile = '.lockstep-demo';

/** Everything a demo leaves there. */
export interface DemoFolder {
  readonly path: string;
  readonly faces: string;
  readonly history: string;
  readonly metrics: string;
  /** Every face's figures, as `lockstep evaluate` leaves them beside `faces`. */
  readonly evaluation: string;
  /** The generator after the pixel phase, and at the end. */
  readonly pixelModel: string;
  readonly ganModel: string;
  readonly tfjsFolder: string;
  /** The packed dataset; absolute, since it becomes part of the run's spec. */
  readonly datasetUrl: string;
  readonly runUrl: string;
}

/** Where things lie in a demo folder, seen from the working folder if `path` is. */
export function demoFolder(path: string): DemoFolder {
  return {
    path,
    faces: join(path, 'faces.png'),
    history: join(path, 'history.gif'),
    metrics: join(path, 'metrics.json'),
    evaluation: join(path, 'evaluation.json'),
    pixelModel: join(path, 'pixel', 'model.onnx'),
    ganModel: join(path, 'gan', 'model.onnx'),
    tfjsFolder: join(path, 'tfjs'),
    datasetUrl: `file://${resolve(path, 'store', 'dataset')}`,
    runUrl: `file://${join(path, 'store', 'runs', 'demo')}`,
  };
}

/** Makes the folder empty but for its marker; throws OperatorError if it is someone else's. */
export async function prepareFolder(path: string, isForced: boolean): Promise<void> {
  if (holdsWorkingFolder(path)) {
    const allowed = 'a folder of its own below or beside the working folder';
    throw new OperatorError('The demo has no place:', [{ key: '--out', given: path, allowed }]);
  }
  const names = await namesIn(path);
  const isOurs = names.length === 0 || names.includes(markerFile);
  if (!isOurs && !isForced) throw notOurs(path, names);
  const marker = 'Made by "lockstep demo"; the next demo replaces it.\n';
  try {
    await Promise.all(names.map((name) => rm(join(path, name), { recursive: true, force: true })));
    await makeFolder(path);
    await writeFile(join(path, markerFile), marker);
  } catch (error) {
    throw noPlace(path, error);
  }
}

/** Emptying the working folder, or one above it, is never what the operator means. */
function holdsWorkingFolder(path: string): boolean {
  const inside = relative(resolve(path), process.cwd());
  return inside.split(sep)[0] !== '..' && !isAbsolute(inside);
}

async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw noPlace(path, error);
  }
}

/** The operator's mistake that a system's error is; any other error as it is. */
function noPlace(path: string, error: unknown): unknown {
  const hint = pathFaults[(error as NodeJS.ErrnoException).code ?? ''];
  if (hint === undefined) return error;
  const allowed = 'a folder that can be made, read and written';
  return new OperatorError('The demo has no place:', [
    { key: '--out', given: path, allowed, hint },
  ]);
}

function notOurs(path: string, names: readonly string[]): OperatorError {
  return new OperatorError('The folder is not from an earlier demo:', [
    {
      key: '--out',
      given: path,
      allowed: 'an empty or new folder, or one that a demo made',
      hint: `it holds ${names.slice(0, 3).join(', ')}; --force deletes all of it`,
    },
  ]);
}

/** The folder or url of `--faces`; without it the photographs that come with Lockstep. */
export function facesLocation(faces: string | undefined): string {
  return faces ?? packageFile('examples/faces');
}
