// `lockstep upscale`: enlarges a picture file with an exported generator.

import { availableParallelism } from 'node:os';
import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import { upscale } from '../../inference/upscale.js';
import { readEnvironment } from '../../shared/environment.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { CommandFailed } from '../failure.js';
import { stopWhenInterrupted } from '../interruptions.js';
import { requireRanges } from '../number-ranges.js';
import { amountOption, flagOption, textOption } from '../options.js';
import { printJson, printLine } from '../output.js';
import { createProgress, progressMode, type Progress } from '../progress.js';

/** Cores of this side with the margins of the paper's generator need about 1.5 GB. */
const defaultTile = 192;
const mostThreads = 256;

/** Fewer tiles than these are done before a bar would say anything. */
const tilesWorthABar = 3;

const options = {
  tile: amountOption('Side of the pieces a large picture is cut into; smaller needs less memory', {
    default: defaultTile,
  }),
  threads: amountOption('Processor threads; all when left out'),
  force: flagOption('Replace the output'),
  json: flagOption('Print JSON on one line'),
} as const satisfies Record<string, Options>;

type Arguments = {
  readonly [name in 'model' | 'input' | 'output']?: string | undefined;
} & InferredOptionTypes<typeof options>;

export const upscaleCommand: CommandModule<object, Arguments> = {
  command: 'upscale <model> <input> <output>',
  describe: 'Enlarge a picture with an exported model',
  builder: (y) =>
    y
      .positional('model', textOption('model.onnx of lockstep export'))
      .positional(
        'input',
        textOption('Picture of any size and shape (JPEG, PNG, WebP, TIFF, AVIF, GIF)'),
      )
      .positional(
        'output',
        textOption('.png or .tif (lossless), .jpg or .webp (quality 95), .avif (80)'),
      )
      .options(options)
      .example('$0 upscale model.onnx in.jpg out.png', 'Enlarge in.jpg 4 times')
      .example('$0 upscale model.onnx in.jpg out.png --tile 64', 'The same in less memory'),
  handler: runUpscale,
};

async function runUpscale(args: Arguments): Promise<void> {
  const { model = '', input = '', output = '', tile, force, json } = args;
  const threads = args.threads ?? Math.min(availableParallelism(), mostThreads);
  requireRanges('the flags are wrong', {
    '--tile': [tile, 16, 4096],
    '--threads': [threads, 1, mostThreads],
  });
  const mode = progressMode(json, readEnvironment().isPlain);
  let progress: Progress | undefined;
  const stop = stopWhenInterrupted();
  const startedMs = performance.now();
  try {
    const result = await upscale({
      ...{ model, input, output, tile, threads, isForced: force, signal: stop },
      onTile: (done, total) => {
        if (total < tilesWorthABar) return;
        progress ??= createProgress({ label: 'upscale', total, mode });
        progress.update(done);
      },
    });
    progress?.close();
    const seconds = Number(((performance.now() - startedMs) / 1000).toFixed(3));
    if (json) printJson({ output, ...result, seconds });
    else printLine(`${output}: ${result.width}x${result.height} in ${seconds.toFixed(1)} s`);
  } catch (error) {
    if (!stop.aborted) throw error;
    throw new CommandFailed('upscale was stopped', exitCodes.interrupted, 'Nothing was written.');
  } finally {
    progress?.close();
  }
}
