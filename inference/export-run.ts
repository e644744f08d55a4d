// Exports a run's trained generator: finds the checkpoint, reads the generator out of it, writes
// the model's files. The format of the files is decided in generator.ts.

import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  listCheckpoints,
  newestWholeCheckpoint,
  type PassedOver,
  readState,
  verifyCheckpoint,
} from '../shared/checkpoint/read.js';
import type { CheckpointManifest } from '../shared/checkpoint/manifest.js';
import { OperatorError } from '../shared/problems.js';
import { readRunRecord } from '../shared/spec/record.js';
import type { ObjectStore } from '../shared/store/store.js';
import { createSrganTask } from '../task/srgan/task.js';
import { exportOnnx, exportTfjs } from './generator.js';

export type ExportFormat = 'onnx' | 'tfjs';

export interface ExportRequest {
  /** Opened at the run. */
  readonly store: ObjectStore;
  readonly format: ExportFormat;
  /** Folder of the files; made when missing. Files of an earlier export are replaced. */
  readonly folder: string;
  /** The checkpoint; the newest whole one when left out. */
  readonly step?: number;
}

export interface ExportResult {
  readonly run: string;
  readonly step: number;
  /** Paths, the file to load first. */
  readonly files: readonly string[];
  readonly bytes: number;
  /** Newer checkpoints that were not whole. */
  readonly passedOver: readonly PassedOver[];
}

/** Exports the generator; an OperatorError when there is no such run or checkpoint. */
export async function exportRun(request: ExportRequest): Promise<ExportResult> {
  const { store, format, folder, step } = request;
  const { manifest, passedOver } =
    step === undefined ? await findNewest(store) : await findStep(store, step);
  const task = createSrganTask(manifest.spec);
  const { network: name } = task.inference;
  const networks = task.networks.filter((network) => network.name === name);
  const { parameters, statistics } = (await readState(store, manifest, networks)).networks[name];
  const contents =
    format === 'onnx'
      ? { 'model.onnx': exportOnnx(task, parameters, statistics) }
      : tfjsContents(exportTfjs(task, parameters, statistics));
  await mkdir(folder, { recursive: true });
  const files: string[] = [];
  let bytes = 0;
  for (const [file, content] of Object.entries(contents)) {
    files.unshift(await writeWhole(join(folder, file), content));
    bytes += content.length;
  }
  return { run: manifest.run, step: manifest.step, files, bytes, passedOver };
}

/** In the order of writing: model.json names weights.bin, so it comes last. */
function tfjsContents({ topology, weights }: ReturnType<typeof exportTfjs>) {
  return { 'weights.bin': weights, 'model.json': Buffer.from(topology) };
}

interface Found {
  readonly manifest: CheckpointManifest;
  readonly passedOver: readonly PassedOver[];
}

async function findNewest(store: ObjectStore): Promise<Found> {
  const { manifest, passedOver } = await newestWholeCheckpoint(store);
  if (manifest !== undefined) return { manifest, passedOver };
  // Says so itself when there is no run at all.
  await readRunRecord(store);
  throw new OperatorError('the run cannot be exported', [
    {
      key: 'RUN',
      given: store.url,
      allowed: 'a run with a whole checkpoint',
      hint: `lockstep resume ${store.url} goes on with it`,
    },
    ...passedOver.map(({ step, reason }) => ({
      key: `checkpoint ${step}`,
      given: reason,
      allowed: 'every file as its manifest says',
    })),
  ]);
}

async function findStep(store: ObjectStore, step: number): Promise<Found> {
  const { manifest, faults } = await verifyCheckpoint(store, step);
  if (manifest !== undefined && faults.length === 0) return { manifest, passedOver: [] };
  await readRunRecord(store);
  const steps = (await listCheckpoints(store)).map((entry) => entry.step);
  const there = steps.length === 0 ? 'none' : steps.join(', ');
  throw new OperatorError(
    'there is no whole checkpoint of that step',
    faults.map(({ text }) => ({
      key: '--step',
      given: step,
      allowed: `the step of a checkpoint; there are: ${there}`,
      hint: text,
    })),
  );
}

/** Under its name only when it is whole. */
async function writeWhole(path: string, content: Uint8Array): Promise<string> {
  const partial = `${path}.${process.pid}.partial`;
  await writeFile(partial, content);
  await rename(partial, path);
  return path;
}
