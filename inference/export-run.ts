// Exports a run's trained generator: finds the checkpoint, reads the generator out of it, writes
// the model's files. The format of the files is decided in generator.ts.

import { join } from 'node:path';
import { readBest } from '../shared/checkpoint/best.js';
import {
  listCheckpoints,
  newestWholeCheckpoint,
  type PassedOver,
  readState,
  verifyCheckpoint,
} from '../shared/checkpoint/read.js';
import type { CheckpointManifest } from '../shared/checkpoint/manifest.js';
import { parametersForUse } from '../shared/checkpoint/state.js';
import { OperatorError } from '../shared/problems.js';
import { readRunRecord } from '../shared/spec/record.js';
import type { ObjectStore } from '../shared/store/store.js';
import { createSrganTask } from '../task/srgan/task.js';
import { exportOnnx, exportPytorch, exportTfjs } from './generator.js';
import { outputProblem, type OutputPlace, writeOutput } from './output-file.js';

export type ExportFormat = 'onnx' | 'tfjs' | 'pytorch';

export interface ExportRequest {
  /** Opened at the run. */
  readonly store: ObjectStore;
  readonly format: ExportFormat;
  /** Folder of the files; made when missing. */
  readonly folder: string;
  /** Replaces files of an earlier export. */
  readonly isForced: boolean;
  /** The checkpoint; the newest whole one when left out. */
  readonly step?: number | 'best';
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
  const { store, format, step } = request;
  const places = await freePlaces(request);
  const { manifest, passedOver } =
    step === undefined ? await findNewest(store) : await findStep(store, await stepOf(store, step));
  const task = createSrganTask(manifest.spec);
  const { network: name } = task.inference;
  const networks = task.networks.filter((network) => network.name === name);
  const generator = (await readState(store, manifest, networks)).networks[name];
  const [parameters, { statistics }] = [parametersForUse(generator), generator];
  const contents =
    format === 'pytorch'
      ? [exportPytorch(task, manifest.spec.generator, parameters, statistics)]
      : contentsOf(format, task, parameters, statistics);
  const files: string[] = [];
  let bytes = 0;
  for (const [i, content] of contents.entries()) {
    files.unshift(await writeOutput(places[i], content));
    bytes += content.length;
  }
  return { run: manifest.run, step: manifest.step, files, bytes, passedOver };
}

/** In the order of writing: model.json names weights.bin, so it comes last. */
const fileNames: Readonly<Record<ExportFormat, readonly string[]>> = {
  onnx: ['model.onnx'],
  tfjs: ['weights.bin', 'model.json'],
  pytorch: ['model.safetensors'],
};

/** What goes into each of the files of a model. */
function contentsOf(
  format: 'onnx' | 'tfjs',
  ...[task, parameters, statistics]: Parameters<typeof exportOnnx>
): Uint8Array[] {
  if (format === 'onnx') return [exportOnnx(task, parameters, statistics)];
  const { weights, topology } = exportTfjs(task, parameters, statistics);
  return [weights, Buffer.from(topology)];
}

/** Where the files go; an OperatorError names everything that stands there. */
async function freePlaces({ folder, format, isForced }: ExportRequest): Promise<OutputPlace[]> {
  const places = fileNames[format].map((name) => {
    return { path: join(folder, name), isForced, key: '--out' };
  });
  const problems = await Promise.all(places.map(outputProblem));
  const found = problems.filter((problem) => problem !== undefined);
  if (found.length > 0) throw new OperatorError('the model cannot be written', found);
  return places;
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

/** The step asked for; an OperatorError when the best one is, and none is noted. */
async function stepOf(store: ObjectStore, step: number | 'best'): Promise<number> {
  if (step !== 'best') return step;
  const best = await readBest(store);
  if (best !== undefined) return best.step;
  const { spec } = await readRunRecord(store);
  const metric = spec.checkpoint.best;
  throw new OperatorError('there is no best checkpoint', [
    {
      key: '--best',
      given: true,
      allowed:
        metric === undefined
          ? 'a run whose spec has checkpoint.best'
          : `a run of which a checkpoint was evaluated by ${metric}`,
    },
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
