// The demo from beginning to end: real faces, a training by two processes that is stopped and
// resumed, and in one folder what came out. Prints its progress; returns the exit code.

import { readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { openPictureSource, type PictureSource } from '../../dataset/picture-source.js';
import { packDataset } from '../../dataset/pack.js';
import { exitCodes, type ExitCode } from '../../shared/exit-codes.js';
import { loadPreset } from '../../shared/spec/load.js';
import { lastStep, type RunSpec } from '../../shared/spec/schema.js';
import { requireWorkers } from '../../shared/spec/validate.js';
import { openStore, type StoreOptions } from '../../shared/store/open-store.js';
import { parseFolder } from '../../shared/store/places.js';
import { readHistory } from '../../worker/evaluation/samples.js';
import { formatTable, printLine, printNote } from '../output.js';
import { demoFolder, facesLocation, prepareFolder, type DemoFolder } from './demo-folder.js';
import { runLockstep } from '../processes.js';
import { formatDuration } from '../progress.js';
import { trainInTwoGoes } from './training.js';
import {
  metricsOf,
  nextCommands,
  parseComparison,
  placeRows,
  qualityRows,
  shortfalls,
  type Comparison,
  type DemoMetrics,
} from './verdict.js';

export interface DemoOptions {
  /** Folder for everything the demo leaves. */
  readonly out: string;
  /** Photographs of one's own: a folder or an s3:// url; else those in examples/. */
  readonly faces: string | undefined;
  /** Replace a folder that no demo made. */
  readonly force: boolean;
  readonly workers: number;
  readonly overrides: readonly string[];
  readonly store: StoreOptions;
  /** No moving bars: lines instead. */
  readonly isPlain: boolean;
  readonly signal: AbortSignal;
}

/** Runs the demo; the exit code says whether the generated faces beat bicubic ones clearly. */
export async function runDemo(options: DemoOptions): Promise<ExitCode> {
  const startedAt = performance.now();
  const spec = loadPreset('demo', options.overrides);
  requireWorkers('The demo can not start:', options.workers, spec.batch.microShards);
  const folder = demoFolder(parseFolder(options.out, '--out'));
  // Opened before the folder is emptied: a mistake must not cost the last demo.
  const faces = await openPictureSource(facesLocation(options.faces), options.store);
  await prepareFolder(folder.path, options.force).catch(async (error: unknown) => {
    await faces.close();
    throw error;
  });
  await packFaces(faces, folder, options.store);
  const training = await trainInTwoGoes({
    ...options,
    datasetUrl: folder.datasetUrl,
    runUrl: folder.runUrl,
    stopAfter: endOfPixelPhases(spec),
    onStopped: () => exportModel(folder.runUrl, 'onnx', folder.pixelModel, options.signal),
    lastStep: lastStep(spec),
    run: runLockstep,
    announce,
  });
  if (training === 'interrupted') {
    announce('Stopped on request, before there was a checkpoint; nothing is lost but the time');
    return exitCodes.interrupted;
  }
  if (training === 'stopped') {
    announce(`Stopped on request; to go on: ${commandWord()} resume ${folder.runUrl} --workers 2`);
    return exitCodes.stopped;
  }
  announce('Models and pictures');
  await exportModel(folder.runUrl, 'onnx', folder.ganModel, options.signal);
  await exportModel(folder.runUrl, 'tfjs', join(folder.tfjsFolder, 'model.json'), options.signal);
  await leaveHistory(folder, options.store);
  const comparison = await compare(folder, options.signal);
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  const metrics = metricsOf(training, comparison, seconds);
  await writeFile(folder.metrics, `${JSON.stringify(metrics, null, 2)}\n`);
  printResult(folder, metrics);
  return metrics.passed ? exitCodes.ok : exitCodes.failed;
}

function announce(text: string): void {
  printNote(`- ${text}`);
}

async function packFaces(
  source: PictureSource,
  { datasetUrl }: DemoFolder,
  options: StoreOptions,
): Promise<void> {
  announce(`Packing the photographs in ${source.url}`);
  const target = openStore(datasetUrl, options);
  try {
    const limits = { minSize: 64, shardMib: 64, strict: false, force: false };
    const packed = await packDataset({ source, target, ...limits });
    announce(`${packed.samples} faces in ${packed.shards} shard(s), ${packed.bytes} bytes`);
    for (const { file, reason } of packed.skipped.slice(0, 10))
      announce(`left out ${file}: ${reason}`);
  } finally {
    await target.close();
    await source.close();
  }
}

/** The step at which the discriminator comes in; half-way where it never does, or at once. */
function endOfPixelPhases(spec: RunSpec): number {
  const first = spec.phases.findIndex(({ loss }) => loss.adversarial > 0);
  const steps = spec.phases.slice(0, first).reduce((sum, phase) => sum + phase.steps, 0);
  return first > 0 ? steps : Math.max(1, Math.floor(lastStep(spec) / 2));
}

async function leaveHistory(folder: DemoFolder, options: StoreOptions): Promise<void> {
  const run = openStore(folder.runUrl, options);
  try {
    const history = await readHistory(run);
    if (history !== undefined) await writeFile(folder.history, history);
  } finally {
    await run.close();
  }
}

/** Exports the newest checkpoint as `file`, which has the name that the format gives it. */
async function exportModel(
  runUrl: string,
  format: 'onnx' | 'tfjs',
  file: string,
  signal: AbortSignal,
): Promise<void> {
  await runWell(['export', runUrl, '--format', format, '--out', dirname(file)], signal);
}

/** Judges both models on the held-out faces, side by side, which leaves the picture. */
async function compare(folder: DemoFolder, signal: AbortSignal): Promise<Comparison> {
  const { path, runUrl, pixelModel, ganModel } = folder;
  await runWell(
    ['evaluate', ganModel, runUrl, '--beside', pixelModel, '--out', path, '--force', '--json'],
    signal,
  );
  return parseComparison(await readFile(folder.evaluation, 'utf8'));
}

async function runWell(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { code, complaint } = await runLockstep(args, { onLine: () => undefined, signal });
  if (code !== exitCodes.ok) throw new Error(`lockstep ${args[0]} failed (${code}):\n${complaint}`);
}

function printResult(folder: DemoFolder, metrics: DemoMetrics): void {
  printLine();
  printLine(
    `On ${metrics.test_faces} faces that training never saw (luma, 4 pixels of border left out):`,
  );
  for (const line of formatTable(qualityRows(metrics))) printLine(`  ${line}`);
  printLine();
  printLine(
    `${metrics.images_per_s.toFixed(1)} images a second on ${metrics.workers} workers; ` +
      `everything took ${formatDuration(metrics.seconds)}.`,
  );
  printLine();
  for (const line of formatTable(placeRows(folder))) printLine(`  ${line}`);
  printLine();
  printLine('Next:');
  for (const command of nextCommands(folder, commandWord())) printLine(`  ${command}`);
  for (const shortfall of shortfalls(metrics)) printNote(`\n${shortfall}`);
}

/** How the operator starts `lockstep`: by its name when it is installed, else through npx. */
function commandWord(): string {
  return basename(process.argv[1] ?? '') === 'lockstep' ? 'lockstep' : 'npx lockstep';
}
