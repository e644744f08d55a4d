// `lockstep export`: a run's trained generator as a model for other programs.

import { dirname } from 'node:path';
import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import { exportShippedPage } from '../../inference/export-files.js';
import { exportRun } from '../../inference/export-run.js';
import { shippedModels } from '../../inference/models.js';
import { OperatorError } from '../../shared/problems.js';
import { parseFolder } from '../../shared/store/places.js';
import { flagOption, numberOption, textOption } from '../options.js';
import { printJson, printLine, printNote } from '../output.js';
import { runUrl, withStore } from '../stores.js';

const options = {
  format: {
    choices: ['onnx', 'tfjs', 'pytorch', 'web'],
    demandOption: true,
    describe:
      'onnx: model.onnx; tfjs: model.json and weights.bin for tf.loadGraphModel; ' +
      'pytorch: model.safetensors for examples/pytorch/srresnet.py; ' +
      'web: a page that runs the model in the browser, for any static server',
  },
  out: textOption('Folder for the files', { demandOption: true }),
  step: numberOption('Checkpoint; the newest whole one if left out'),
  best: flagOption('The best checkpoint by checkpoint.best of the spec'),
  force: flagOption('Replace the files of an earlier export'),
  json: flagOption('Print JSON on one line'),
} as const satisfies Record<string, Options>;

type Arguments = { readonly run?: string | undefined } & InferredOptionTypes<typeof options>;

const whatIsExported =
  'file:// or s3:// folder of the run, or the id of a local run; for web also a model that ships';

export const exportCommand: CommandModule<object, Arguments> = {
  command: 'export <run>',
  describe: 'Export the trained generator of a run as an ONNX, TF.js or PyTorch model',
  builder: (y) =>
    y
      .positional('run', textOption(whatIsExported))
      .options(options)
      .example('$0 export faces-1 --format onnx --out models', 'Write models/model.onnx')
      .example('$0 export faces-1 --best --format onnx --out models', 'Of the best checkpoint')
      .example('$0 export s3://bucket/runs/faces --format tfjs --out tfjs', 'For TF.js')
      .example('$0 export faces-gan --format web --out page', 'A page to put on a server'),
  handler: runExport,
};

async function runExport(args: Arguments): Promise<void> {
  const { run = '', format, out, step, best, force, json } = args;
  if (best && step !== undefined)
    throw new OperatorError('the flags are wrong', [
      { key: '--best', given: true, allowed: 'left out where --step says which checkpoint' },
    ]);
  if (step !== undefined && !(Number.isSafeInteger(step) && step >= 0))
    throw new OperatorError('the flags are wrong', [
      { key: '--step', given: step, allowed: 'a whole number, the step of a checkpoint' },
    ]);
  const folder = parseFolder(out, '--out');
  const shipped = format === 'web' ? await shippedModels() : [];
  const model = shipped.find(({ name }) => name === run);
  if (model !== undefined) {
    const result = await exportShippedPage(model, { folder, isForced: force });
    return json ? printJson({ model: run, ...result, format }) : printPage(run, result.files);
  }
  const result = await withStore(runUrl(run), (store) => {
    const request = { store, format, folder, isForced: force };
    if (best) return exportRun({ ...request, step: 'best' });
    return exportRun(step === undefined ? request : { ...request, step });
  });
  for (const { step: torn, reason } of result.passedOver)
    printNote(`The checkpoint of step ${torn} is not whole and was passed over: ${reason}`);
  if (json) return printJson({ ...result, format });
  if (format === 'web') return printPage(`${result.run} after ${result.step} steps`, result.files);
  printLine(`The generator of ${result.run} after ${result.step} steps:`);
  for (const file of result.files) printLine(`  ${file}`);
  if (format === 'onnx') printNote(`Next: lockstep upscale in.jpg --model ${result.files[0]}`);
}

function printPage(what: string, [page = '']: readonly string[]): void {
  printLine(`A page with the generator of ${what}: ${page}`);
  printNote(`Next: python3 -m http.server --directory ${dirname(page)}, or any static server`);
}
