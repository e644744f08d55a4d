// `lockstep upscale`: enlarges pictures with a trained generator.

import { createReadStream, existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import { defaultModel } from '../../inference/models.js';
import { loadNetwork, type LoadedNetwork } from '../../inference/onnx-network.js';
import { formatLike, formatOfName, outputFormats } from '../../inference/upscale/output-format.js';
import {
  largestPictureBytes,
  readPicture,
  type PictureBytes,
} from '../../inference/upscale/picture-file.js';
import {
  planUpscale,
  standardStream,
  type UpscaleFault,
  type UpscalePlan,
  type UpscaleTask,
} from '../../inference/upscale/tasks.js';
import { upscalePicture, type UpscaleResult } from '../../inference/upscale/upscale.js';
import { readEnvironment } from '../../shared/environment.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import { onnxProviders } from '../../worker/engine/onnx-providers.js';
import { CommandFailed } from '../failure.js';
import { stopWhenInterrupted } from '../interruptions.js';
import { rangeProblems } from '../number-ranges.js';
import { amountOption, dashWord, flagOption, textOption, wordOption } from '../options.js';
import { printJson, printLine, printNote } from '../output.js';
import { createProgress, progressMode, type Progress, type ProgressMode } from '../progress.js';

/** Larger tiles compute less twice, and need more memory: docs/upscaling.md. */
const defaultTile = 64;
const mostThreads = 256;

/** Fewer tiles than these are done before a bar would say anything. */
const tilesWorthABar = 3;

/** Failures that are listed; the others are counted. */
const mostListed = 50;

const options = {
  model: wordOption('Name of `lockstep models ls`, or model.onnx of lockstep export', {
    alias: 'm',
    default: defaultModel,
  }),
  out: wordOption('File, folder, or - for standard output; beside each input when left out', {
    alias: 'o',
  }),
  scale: amountOption('Pixels a side for each, from 1: the picture is made smaller at the end', {
    defaultDescription: "the model's, 4",
  }),
  format: {
    choices: outputFormats,
    requiresArg: true,
    describe: 'Format; that of the output name, or of the input, when left out',
  },
  quality: amountOption('Of jpg, webp (default 95) and avif (80): 1 to 100'),
  provider: {
    choices: onnxProviders,
    default: 'cpu',
    requiresArg: true,
    describe: 'What computes',
  },
  tile: amountOption('Side of the pieces a large picture is cut into; smaller needs less memory', {
    default: defaultTile,
  }),
  threads: amountOption('Processor threads; all when left out'),
  force: flagOption('Replace outputs'),
  json: flagOption('Print one JSON object a picture'),
} as const satisfies Record<string, Options>;

type Arguments = { readonly inputs?: string[] | undefined } & InferredOptionTypes<typeof options>;

export const upscaleCommand: CommandModule<object, Arguments> = {
  command: 'upscale <inputs..>',
  describe: 'Enlarge pictures with a trained generator',
  builder: (y) =>
    y
      .positional('inputs', {
        ...textOption('Pictures (JPEG, PNG, WebP, TIFF, AVIF, GIF), folders, patterns; - is stdin'),
        array: true,
      })
      .options(options)
      .example('$0 upscale photo.jpg', 'Writes photo-4x.jpg')
      .example('$0 upscale photo.jpg -o large.png --scale 2', 'Twice as large, without loss')
      .example('$0 upscale album --out album-4x', 'Every picture below a folder')
      .example('$0 upscale "*.png" --format webp --quality 90', 'In another format')
      .example('$0 upscale - < in.png > out.png', 'In a pipe')
      .example('$0 upscale in.jpg --model model.onnx --tile 64', 'Own model, less memory'),
  handler: runUpscale,
};

async function runUpscale(args: Arguments): Promise<void> {
  const stop = stopWhenInterrupted();
  const given = { ...args, inputs: (args.inputs ?? []).map(undashed), out: undashed(args.out) };
  requireArguments(given);
  const plan = await planUpscale({ ...given, scale: given.scale ?? 4 });
  requireStreams(plan, given.json);
  const threads = args.threads ?? Math.min(availableParallelism(), mostThreads);
  const network = await loadNetwork(args.model, threads, args.provider);
  try {
    requireScale(given.scale, network);
    await upscaleAll(plan, network, args, stop);
  } catch (error) {
    if (!stop.aborted) throw error;
    const isUnread = stop.reason === 'nobody reads stdout any more';
    const code = isUnread ? exitCodes.outputClosed : exitCodes.interrupted;
    throw new CommandFailed('upscale was stopped', code, 'No half picture was written.');
  } finally {
    await network.close();
  }
}

function undashed<T extends string | undefined>(word: T): T | typeof standardStream {
  return word === dashWord ? standardStream : word;
}

function requireArguments({ tile, threads, quality, format, out }: Arguments): void {
  const problems = rangeProblems({
    '--tile': [tile, 16, 4096],
    '--threads': [threads, 1, mostThreads],
    '--quality': [quality, 1, 100],
  });
  const named = out === undefined ? undefined : formatOfName(out);
  if (format !== undefined && named !== undefined && named !== format)
    problems.push({ key: '--format', given: format, allowed: `that of ${out}, or another --out` });
  if (problems.length > 0) throw new OperatorError('the flags are wrong', problems);
}

/** A terminal can't send or show a picture, and JSON would stand in the middle of one. */
function requireStreams({ tasks }: UpscalePlan, isJson: boolean): void {
  const problems: Problem[] = [];
  const isWritten = tasks.some(({ output }) => output === standardStream);
  if (tasks.some(({ input }) => input === standardStream) && process.stdin.isTTY)
    problems.push({ key: 'input', given: '-', allowed: 'a picture on standard input' });
  if (isWritten && process.stdout.isTTY)
    problems.push({ key: '--out', given: '-', allowed: 'a pipe or a file, and no terminal' });
  if (isWritten && isJson)
    problems.push({ key: '--json', given: true, allowed: 'only with --out FILE' });
  if (problems.length > 0) throw new OperatorError('the streams are wrong', problems);
}

function requireScale(scale: number | undefined, { metadata }: LoadedNetwork): void {
  if (scale === undefined || (scale >= 1 && scale <= metadata.scale)) return;
  const allowed = `a number from 1 to the model's ${metadata.scale}`;
  throw new OperatorError('the flags are wrong', [{ key: '--scale', given: scale, allowed }]);
}

type Given = Omit<Arguments, 'inputs' | 'out'>;

/** Goes on after a picture that fails; a single one fails as itself. */
async function upscaleAll(
  { tasks, faults }: UpscalePlan,
  network: LoadedNetwork,
  given: Given,
  stop: AbortSignal,
): Promise<void> {
  const failures: UpscaleFault[] = [...faults];
  const isOne = tasks.length + faults.length === 1;
  const progress = createPictureProgress(
    tasks.length,
    progressMode(given.json, readEnvironment().isPlain),
  );
  let present = 0;
  try {
    for (const [done, task] of tasks.entries()) {
      stop.throwIfAborted();
      if (task.isInFolder && !given.force && existsSync(task.output)) {
        present += 1;
        if (given.json) printJson({ ...placesOf(task), state: 'present' });
        continue;
      }
      try {
        const show = progress.showPicture(done, task.input);
        const result = await upscaleTask(task, network, given, stop, show);
        report(task, result, given.json, progress);
      } catch (error) {
        if (isOne || stop.aborted || !(error instanceof OperatorError)) throw error;
        failures.push({ input: task.input, reason: reasonOf(error) });
      }
      progress.pictureDone(done + 1);
    }
  } finally {
    progress.close();
  }
  if (present > 0)
    printNote(`${present} of ${tasks.length} were there already: --force makes them again.`);
  reportFailures(failures, tasks.length + faults.length, given.json);
}

async function upscaleTask(
  { input, output }: UpscaleTask,
  network: LoadedNetwork,
  { format, quality, scale, tile, force }: Given,
  signal: AbortSignal,
  onTile: (done: number, total: number) => void,
): Promise<TimedResult> {
  const startedMs = performance.now();
  const picture = input === standardStream ? await readInput(signal) : await readPicture(input);
  const isStream = output === standardStream;
  const folder = isStream ? await mkdtemp(join(tmpdir(), 'lockstep-upscale-')) : undefined;
  const path = folder === undefined ? output : join(folder, 'picture');
  try {
    const result = await upscalePicture({
      ...{ network, input: picture, tile, signal, onTile },
      place: { path, isForced: force, key: '--out' },
      form: (read) => ({
        ...{ quality, scale },
        format: format ?? (isStream ? undefined : formatOfName(output)) ?? formatLike(read),
      }),
    });
    if (isStream) await pipeline(createReadStream(path), process.stdout, { end: false, signal });
    return { ...result, seconds: Number(((performance.now() - startedMs) / 1000).toFixed(3)) };
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }
}

interface TimedResult extends UpscaleResult {
  readonly seconds: number;
}

async function readInput(signal: AbortSignal): Promise<PictureBytes> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of addAbortSignal(signal, process.stdin)) {
    parts.push(part as Buffer);
    size += (part as Buffer).length;
    if (size > largestPictureBytes)
      throw new OperatorError('the picture cannot be read', [
        { key: 'input', given: '-', allowed: `at most ${largestPictureBytes} bytes` },
      ]);
  }
  return { name: standardStream, bytes: Buffer.concat(parts) };
}

function placesOf({ input, output }: UpscaleTask): object {
  return { input, output };
}

function report(
  task: UpscaleTask,
  result: TimedResult,
  isJson: boolean,
  progress: PictureProgress,
): void {
  if (isJson) return printJson({ ...placesOf(task), state: 'written', ...result });
  const { width, height, seconds } = result;
  const line = `${task.output}: ${width}x${height} in ${seconds.toFixed(1)} s`;
  if (task.output !== standardStream) progress.print(line);
}

function reasonOf(error: OperatorError): string {
  const [first = error.message] = error.message.split('\n');
  const hint = error.problems[0]?.hint;
  return hint === undefined ? first : `${first} (${hint})`;
}

function reportFailures(failures: readonly UpscaleFault[], total: number, isJson: boolean): void {
  if (failures.length === 0) return;
  if (isJson)
    for (const { input, reason } of failures) printJson({ input, state: 'failed', reason });
  else
    for (const { input, reason } of failures.slice(0, mostListed)) printNote(`${input}: ${reason}`);
  const more = failures.length - mostListed;
  if (!isJson && more > 0) printNote(`... and ${more} more`);
  const what = `${failures.length} of ${total} inputs could not be enlarged`;
  throw new CommandFailed(what, exitCodes.failed);
}

/** Progress of one large picture by its tiles, of several by pictures. */
interface PictureProgress {
  /** For the picture with that many done before it: what to call with each of its tiles. */
  showPicture(done: number, name: string): (tile: number, tiles: number) => void;
  pictureDone(done: number): void;
  print(line: string): void;
  close(): void;
}

function createPictureProgress(pictures: number, mode: ProgressMode): PictureProgress {
  const isOne = pictures === 1;
  let bar: Progress | undefined;
  const show = (total: number): Progress =>
    (bar ??= createProgress({ label: 'upscale', total, mode }));
  return {
    showPicture: (done, name) => (tile, tiles) => {
      if (isOne && tiles < tilesWorthABar) return;
      const note = tile === tiles ? 'writing' : '';
      if (isOne) show(tiles).update(tile, note);
      else show(pictures).update(done, `${name} ${Math.floor((100 * tile) / tiles)}%`);
    },
    pictureDone: (done) => !isOne && show(pictures).update(done),
    print: (line) => {
      if (isOne) bar?.close();
      // Above a bar that moves; what isn't seen on a terminal is a result.
      if (!isOne && mode === 'bar' && process.stdout.isTTY) show(pictures).print(line);
      else printLine(line);
    },
    close: () => bar?.close(),
  };
}
