// Folders for tests, with what a run needs in them.

import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunSpec } from '../../shared/spec/schema.js';
import { packFaces } from './tiny-dataset.js';
import { printSpec, tinyRun } from './tiny-run.js';

/** A new folder, which goes when the test's process ends. */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-test-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What a spec file has that is not the tiny run's; `steps` are those of both phases. */
export type RunChange = Partial<RunSpec> & { readonly steps?: number };

/** Packs faces into `folder`/dataset and writes a spec `NAME.yaml` over them for each run. */
export async function writeRuns(
  folder: string,
  runs: Readonly<Record<string, RunChange>>,
): Promise<void> {
  await packFaces(`file://${folder}/dataset`, folder);
  for (const [name, change] of Object.entries(runs))
    await writeFile(join(folder, `${name}.yaml`), printSpec(runIn(folder, change)));
}

/** The spec of a run over the faces in `folder`. */
export function runIn(folder: string, { steps = 6, ...change }: RunChange = {}): RunSpec {
  return { ...tinyRun(`file://${folder}/dataset`, steps - 3), ...change };
}
