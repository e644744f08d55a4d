// `lockstep evaluate`: how near a model's enlargements come to originals, beside bicubic ones.

import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import {
  evaluate,
  loadJudgedModel,
  loadJudgedRun,
  planOutputs,
  writeOutputs,
  type Evaluation,
  type JudgedModel,
} from '../../inference/evaluation/evaluate.js';
import {
  openFaceFiles,
  openHeldOutFaces,
  type FaceChoice,
  type FaceFiles,
} from '../../inference/evaluation/face-files.js';
import { measures, type Judgement, type Measure } from '../../inference/evaluation/judge.js';
import { openMeasuringNetworks } from '../../inference/evaluation/measuring-networks.js';
import { readEnvironment } from '../../shared/environment.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { OperatorError } from '../../shared/problems.js';
import { readRunRecord, recordKey } from '../../shared/spec/record.js';
import { parseFolder } from '../../shared/store/places.js';
import { CommandFailed } from '../failure.js';
import { stopWhenInterrupted } from '../interruptions.js';
import { requireRanges } from '../number-ranges.js';
import { amountOption, flagOption, textOption, wordOption } from '../options.js';
import { printJson, printLine, printNote, printTable, type Row } from '../output.js';
import { createProgress, progressMode, type Progress } from '../progress.js';
import { runUrl, storeOptions, withStore } from '../stores.js';

const mostThreads = 256;
const mostFaces = 1_000_000;

/** Faces in the picture. */
const shownFaces = 8;

const options = {
  out: wordOption('Folder for evaluation.json (every face) and faces.png'),
  beside: textOption('A model that enlarges the same faces, for a comparison; may be repeated', {
    array: true,
    default: [] as string[],
  }),
  lpips: wordOption('LPIPS as well, by these VGG-16 weights: safetensors, torchvision names'),
  limit: amountOption('Faces at most, the first by name; all when left out'),
  resize: amountOption('Scale originals first: pixels of the shorter side', { default: 0 }),
  step: amountOption('Checkpoint of a run; the newest whole one when left out'),
  best: flagOption('The best checkpoint of a run, by checkpoint.best of its spec'),
  threads: amountOption('Processor threads; all when left out'),
  force: flagOption('Replace the files of an earlier evaluation'),
  json: flagOption('Print JSON on one line'),
} as const satisfies Record<string, Options>;

type Arguments = {
  readonly [name in 'model' | 'faces']?: string | undefined;
} & InferredOptionTypes<typeof options>;

export const evaluateCommand: CommandModule<object, Arguments> = {
  command: 'evaluate <model> [faces]',
  describe: 'Judge a model by originals: PSNR, SSIM, identity, LPIPS, beside bicubic',
  builder: (y) =>
    y
      .positional(
        'model',
        textOption('model.onnx, a model that ships, or a run (file://, s3://, id of a local run)'),
      )
      .positional(
        'faces',
        textOption(
          'Folder of pictures, picture, dataset, or a run for its held-out faces (the default)',
        ),
      )
      .options(options)
      .example('$0 evaluate model.onnx faces --out report', 'Figures, and pictures to look at')
      .example('$0 evaluate gan.onnx faces --beside pixel.onnx', 'Two models on the same faces')
      .example('$0 evaluate faces-1', 'The newest checkpoint of a run, on its held-out faces'),
  handler: runEvaluate,
};

async function runEvaluate(args: Arguments): Promise<void> {
  const { json, out, force, limit, resize } = args;
  const threads = args.threads ?? Math.min(availableParallelism(), mostThreads);
  requireRanges('the flags are wrong', {
    '--threads': [threads, 1, mostThreads],
    '--limit': [limit ?? 1, 1, mostFaces],
    '--resize': [resize, 0, 4096],
    '--step': [args.step ?? 0, 0, Number.MAX_SAFE_INTEGER],
  });
  const places =
    out === undefined ? undefined : await planOutputs(parseFolder(out, '--out'), force);
  const choice = { limit, resize, storeOptions: storeOptions() };
  const stop = stopWhenInterrupted();
  const startedMs = performance.now();
  let progress: Progress | undefined;
  const judged = await openJudged(args, choice, threads);
  try {
    const vgg16 = args.lpips;
    const lpips = vgg16 === undefined ? undefined : { url: vgg16, storeOptions: storeOptions() };
    const networks = await openMeasuringNetworks({ threads, lpips });
    const { faces, location } = judged;
    const mode = progressMode(json, readEnvironment().isPlain);
    progress = createProgress({ label: 'evaluate', total: faces.total, mode });
    const { evaluation, grid } = await evaluate(judged.model, {
      ...{ faces, location, networks, beside: judged.beside, shown: shownFaces, signal: stop },
      onPicture: (done) => progress?.update(done),
      onSkipped: ({ file, reason }) => printNote(`${file} was skipped: ${reason}`),
    });
    progress.close();
    if (places !== undefined) await writeOutputs(places, evaluation, grid);
    const seconds = Number(((performance.now() - startedMs) / 1000).toFixed(3));
    if (json) printJson({ ...evaluation, seconds });
    else printEvaluation(evaluation, places?.map(({ path }) => path) ?? []);
    failForSkipped(evaluation);
  } catch (error) {
    if (!stop.aborted) throw error;
    const hint = 'Nothing was written.';
    throw new CommandFailed('the evaluation was stopped', exitCodes.interrupted, hint);
  } finally {
    progress?.close();
    await judged.close();
  }
}

interface Judged {
  readonly model: JudgedModel;
  readonly beside: readonly JudgedModel[];
  readonly faces: FaceFiles;
  readonly location: string;
  close(): Promise<void>;
}

/** Opens the faces first: what is wrong with them is known before a model is loaded. */
async function openJudged(
  { model: name = '', faces: location, step, best, beside: others }: Arguments,
  choice: FaceChoice,
  threads: number,
): Promise<Judged> {
  const run = await runOf(name);
  const flag = step === undefined ? '--best' : '--step';
  if (run === undefined && (best || step !== undefined))
    throw new OperatorError('the flags are wrong', [
      { key: flag, given: step ?? best, allowed: 'nothing, unless MODEL is a run' },
    ]);
  if (best && step !== undefined)
    throw new OperatorError('the flags are wrong', [
      { key: '--best', given: true, allowed: 'left out where --step says which checkpoint' },
    ]);
  if (run === undefined && location === undefined)
    throw new OperatorError('there is nothing to judge by', [
      { key: 'FACES', given: '', allowed: 'a folder of pictures, a picture or a packed dataset' },
    ]);
  const held = location === undefined ? run : await runWithFaces(location);
  const faces = await (held === undefined
    ? openFaceFiles(location!, choice)
    : withStore(held, async (store) => {
        const { spec } = await readRunRecord(store);
        return openHeldOutFaces(spec, choice);
      }));
  const models: JudgedModel[] = [];
  const close = async (): Promise<void> => {
    for (const { network } of models) await network.close();
    await faces.close();
  };
  try {
    models.push(await loadJudged(name, threads, run, best ? 'best' : step));
    for (const other of others) models.push(await loadJudged(other, threads));
    const [model, ...beside] = models;
    return { model, beside, faces, location: location ?? name, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The run that FACES names; undefined where it names pictures or a dataset. */
async function runWithFaces(location: string): Promise<string | undefined> {
  const url = await runOf(location);
  if (url === undefined || !/^(file|s3):\/\//.test(location)) return url;
  const isRun = await withStore(url, async (store) => (await store.head(recordKey)) !== undefined);
  return isRun ? url : undefined;
}

/** A model's file, one that ships, or a run's checkpoint: its newest, where none is named. */
async function loadJudged(
  name: string,
  threads: number,
  run?: string,
  step?: number | 'best',
): Promise<JudgedModel> {
  const url = run ?? (await runOf(name));
  return url === undefined
    ? loadJudgedModel(name, threads)
    : withStore(url, (store) => loadJudgedRun(store, step, threads));
}

/** The url of the run that a word names; undefined where it names a model. */
async function runOf(name: string): Promise<string | undefined> {
  if (/^(file|s3):\/\//.test(name)) return runUrl(name, { key: 'MODEL' });
  const isThere = async (path: string): Promise<boolean> =>
    (await stat(path).catch(() => undefined)) !== undefined;
  if (await isThere(join(name, 'run.json'))) return runUrl(`file://${name}`, { key: 'MODEL' });
  if (await isThere(join('runs', name, 'run.json'))) return runUrl(name, { key: 'MODEL' });
  return undefined;
}

/** How each measure is shown: its heading, its digits, and which way is better. */
const columns: Readonly<Record<Measure, readonly [heading: string, digits: number]>> = {
  psnr: ['PSNR (dB) +', 2],
  ssim: ['SSIM +', 4],
  identity: ['identity -', 4],
  lpips: ['LPIPS -', 4],
};

function printEvaluation({ faces, mean, median }: Evaluation, files: readonly string[]): void {
  const others = (what: string, { beside = {} }: Evaluation['mean']): Row[] =>
    Object.entries(beside).map(([name, judgement]) => row(`${name}, ${what}`, judgement));
  const taken = measures.filter((measure) => mean.generated[measure] !== undefined);
  const row = (name: string, judgement: Judgement): Row => [
    name,
    ...taken.map((measure) => (judgement[measure] ?? NaN).toFixed(columns[measure][1])),
  ];
  printTable([
    [faces.length === 1 ? '1 face' : `${faces.length} faces`, ...taken.map((m) => columns[m][0])],
    row('generated, mean', mean.generated),
    ...others('mean', mean),
    row('bicubic, mean', mean.bicubic),
    row('generated, median', median.generated),
    ...others('median', median),
    row('bicubic, median', median.bicubic),
  ]);
  printLine('+: higher is nearer the originals; -: lower is');
  for (const file of files) printLine(`wrote ${file}`);
}

function failForSkipped({ skipped, faces }: Evaluation): void {
  if (skipped.length === 0) return;
  throw new CommandFailed(
    `${skipped.length} of ${skipped.length + faces.length} pictures could not be used`,
    exitCodes.failed,
    'The figures are those of the others.',
  );
}
