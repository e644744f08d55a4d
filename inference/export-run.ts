// Exports a run's trained generator: finds the checkpoint, reads the generator out of it, and has
// the files written. The form of a model is decided in generator.ts.

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
import {
  type ExportFormat,
  type ExportPlace,
  type FileContents,
  freePlaces,
  tfjsFiles,
  webFiles,
  writeFiles,
  type WrittenFiles,
} from './export-files.js';
import { exportOnnx, exportPytorch, exportTfjs } from './generator.js';

export interface ExportRequest extends ExportPlace {
  /** Opened at the run. */
  readonly store: ObjectStore;
  /** The checkpoint; the newest whole one when left out. */
  readonly step?: number | 'best';
}

export interface ExportResult extends WrittenFiles {
  readonly run: string;
  readonly step: number;
  /** Newer checkpoints that were not whole. */
  readonly passedOver: readonly PassedOver[];
}

/** Exports the generator; an OperatorError when there is no such run or checkpoint. */
export async function exportRun(request: ExportRequest): Promise<ExportResult> {
  const { store, format, step } = request;
  const places = await freePlaces(request);
  const { manifest, passedOver } =
    step === undefined ? await findNewest(store) : await findStep(store, await stepOf(store, step));
  const contents = await contentsOf(format, store, manifest);
  const { run, step: steps } = manifest;
  return { run, step: steps, ...(await writeFiles(places, contents)), passedOver };
}

/** The files of a format, by name. */
async function contentsOf(
  format: ExportFormat,
  store: ObjectStore,
  manifest: CheckpointManifest,
): Promise<FileContents> {
  const { spec, run } = manifest;
  const task = createSrganTask(spec);
  const { network: name } = task.inference;
  const networks = task.networks.filter((network) => network.name === name);
  const generator = (await readState(store, manifest, networks)).networks[name];
  const [parameters, { statistics }] = [parametersForUse(generator), generator];
  switch (format) {
    case 'onnx':
      return new Map([['model.onnx', exportOnnx(task, parameters, statistics)]]);
    case 'pytorch': {
      const file = exportPytorch(task, spec.generator, parameters, statistics);
      return new Map([['model.safetensors', file]]);
    }
    case 'tfjs':
    case 'web': {
      const { weights, topology } = exportTfjs(task, parameters, statistics);
      const model = { weights, topology: Buffer.from(topology) };
      return format === 'tfjs' ? tfjsFiles(model) : await webFiles(run, model);
    }
  }
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
