// `lockstep export`: a run's trained generator as a model for other programs. The work is in
// inference/export-run.ts; here are flags and what is printed.

import type { CommandModule } from 'yargs';
import { exportRun, type ExportFormat } from '../../inference/export-run.js';
import { OperatorError } from '../../shared/problems.js';
import { openStore } from '../../shared/store/open-store.js';
import { printJson, printLine, printNote } from '../output.js';
import { runUrl } from '../run-location.js';
import { storeOptions } from '../store-options.js';

interface Arguments {
  readonly run?: string | undefined;
  readonly format?: ExportFormat | undefined;
  readonly out?: string | undefined;
  readonly step?: number | undefined;
  readonly json: boolean;
}

export const exportCommand: CommandModule<object, Arguments> = {
  command: 'export <run>',
  describe: 'Export the trained generator of a run as an ONNX or TF.js model',
  builder: (y) =>
    y
      .positional('run', {
        type: 'string',
        describe: 'file:// or s3:// folder of the run, or the id of a local run',
      })
      .option('format', {
        choices: ['onnx', 'tfjs'] as const,
        demandOption: true,
        describe: 'onnx: model.onnx; tfjs: model.json and weights.bin for tf.loadGraphModel',
      })
      .option('out', { type: 'string', demandOption: true, describe: 'Folder for the files' })
      .option('step', { type: 'number', describe: 'Checkpoint; the newest whole one if left out' })
      .option('json', { type: 'boolean', default: false, describe: 'Print JSON on one line' })
      .example('$0 export faces-1 --format onnx --out models', 'Write models/model.onnx')
      .example('$0 export s3://bucket/runs/faces --format tfjs --out web/model', 'For a browser'),
  handler: runExport,
};

async function runExport(args: Arguments): Promise<void> {
  const { run = '', format = 'onnx', out = '', step, json } = args;
  if (step !== undefined && !(Number.isSafeInteger(step) && step >= 0))
    throw new OperatorError('the flags are wrong', [
      { key: '--step', given: step, allowed: 'a whole number, the step of a checkpoint' },
    ]);
  const store = openStore(runUrl(run), storeOptions());
  try {
    const request = { store, format, folder: out };
    const result = await exportRun(step === undefined ? request : { ...request, step });
    for (const { step: torn, reason } of result.passedOver)
      printNote(`The checkpoint of step ${torn} is not whole and was passed over: ${reason}`);
    if (json) printJson({ ...result, format });
    else tell(result.files, result.run, result.step, format);
  } finally {
    await store.close();
  }
}

function tell(files: readonly string[], run: string, step: number, format: ExportFormat): void {
  printLine(`The generator of ${run} after ${step} steps:`);
  for (const file of files) printLine(`  ${file}`);
  if (format === 'onnx') printNote(`Next: lockstep upscale ${files[0]} in.jpg out.png`);
}
