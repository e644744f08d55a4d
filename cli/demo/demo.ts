// The demo from beginning to end: real faces, a training by two processes that is stopped and
// resumed, and in one folder what came out. Prints its progress; returns the exit code.

import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { openPictureSource, type PictureSource } from '../../dataset/picture-source.js';
import { packDataset } from '../../dataset/pack.js';
import { exitCodes, type ExitCode } from '../../shared/exit-codes.js';
import { loadPreset } from '../../shared/spec/load.js';
import { lastStep } from '../../shared/spec/schema.js';
import { requireWorkers } from '../../shared/spec/validate.js';
import { openStore, type StoreOptions } from '../../shared/store/open-store.js';
import { parseFolder } from '../../shared/store/places.js';
import { readHistory } from '../../worker/evaluation/samples.js';
import { formatTable, printLine, printNote } from '../output.js';
import { demoFolder, facesLocation, prepareFolder, type DemoFolder } from './demo-folder.js';
import { runLockstep } from '../processes.js';
import { formatDuration } from '../progress.js';
import { trainInTwoGoes, type TrainingResult } from './training.js';
import { metricsOf, nextCommands, placeRows, qualityRows, type DemoMetrics } from './verdict.js';

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
    stopAfter: Math.max(1, Math.floor(lastStep(spec) / 2)),
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
  announce('Pictures and models');
  await leavePictures(folder, training, options.store);
  await leaveModels(folder, options.signal);
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  const metrics = metricsOf(training.finished, training.evaluations, seconds);
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

async function leavePictures(
  folder: DemoFolder,
  { evaluations }: TrainingResult,
  options: StoreOptions,
): Promise<void> {
  const run = openStore(folder.runUrl, options);
  try {
    const last = evaluations.at(-1);
    if (last !== undefined) await writeFile(folder.faces, await run.get(last.sample_key));
    const history = await readHistory(run);
    if (history !== undefined) await writeFile(folder.history, history);
  } finally {
    await run.close();
  }
}

async function leaveModels(
  { path, runUrl, tfjsFolder }: DemoFolder,
  signal: AbortSignal,
): Promise<void> {
  for (const [format, out] of [
    ['onnx', path],
    ['tfjs', tfjsFolder],
  ] as const) {
    const args = ['export', runUrl, '--format', format, '--out', out];
    const { code, complaint } = await runLockstep(args, { onLine: () => undefined, signal });
    if (code !== exitCodes.ok) throw new Error(`lockstep export failed (${code}):\n${complaint}`);
  }
}

function printResult(folder: DemoFolder, metrics: DemoMetrics): void {
  const { gain_db: gain, required_gain_db: required } = metrics;
  const faces = metrics.test_faces === undefined ? 'the' : String(metrics.test_faces);
  printLine();
  printLine(`On ${faces} faces that training never saw (luma, 4 pixels of border left out):`);
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
  if (!metrics.passed)
    printNote(
      `\nThe generated faces beat bicubic by ${gain.toFixed(2)} dB; ${required} dB were expected.`,
    );
}

/** How the operator starts `lockstep`: by its name when it is installed, else through npx. */
function commandWord(): string {
  return basename(process.argv[1] ?? '') === 'lockstep' ? 'lockstep' : 'npx lockstep';
}
