// `lockstep setup`: what an engine needs beyond npm's packages.

import type { CommandModule } from 'yargs';
import { printJson, printNote } from '../output.js';
import { trialWords } from '../engine-trial.js';
import { setUpTensorflow } from '../setup/tensorflow-setup.js';
import { tensorflowVersion } from '../setup/tensorflow-wheels.js';

interface Arguments {
  readonly gpu: boolean;
  readonly library?: string | undefined;
  readonly wheel?: readonly string[] | undefined;
  readonly stock?: boolean | undefined;
  readonly libraryCache?: string | undefined;
  readonly force: boolean;
  readonly json: boolean;
}

const setupTensorflowCommand: CommandModule<object, Arguments> = {
  command: 'tensorflow',
  describe: 'Build the addon of @tensorflow/tfjs-node-gpu against a TensorFlow of today',
  builder: (y) =>
    y
      .option('gpu', {
        type: 'boolean',
        default: false,
        describe: `TensorFlow ${tensorflowVersion} with CUDA 12 and cuDNN 9 (default: for CPUs)`,
      })
      .option('library', { type: 'string', describe: 'A folder with a TensorFlow library' })
      .option('wheel', {
        type: 'string',
        array: true,
        describe: "Wheels of TensorFlow's (and NVIDIA's) on this machine, instead of PyPI's",
      })
      .option('stock', {
        type: 'boolean',
        describe: "The package's own download: TensorFlow 2.9 and CUDA 11",
      })
      .option('library-cache', {
        type: 'string',
        describe: 'Folder that keeps unpacked libraries (default: ~/.cache/lockstep)',
      })
      .option('force', { type: 'boolean', default: false, describe: 'Compile the addon anew' })
      .option('json', { type: 'boolean', default: false, describe: 'Print the result as JSON' })
      .conflicts('library', ['wheel', 'stock'])
      .conflicts('wheel', 'stock')
      .example('$0 setup tensorflow', 'for CPUs, from PyPI')
      .example('$0 setup tensorflow --gpu', 'for NVIDIA GPUs, with CUDA from PyPI')
      .example('$0 setup tensorflow --library /opt/tensorflow', 'with a library of yours'),
  handler: async ({ gpu, wheel, stock, force, json, ...args }) => {
    const { trial } = await setUpTensorflow({
      isGpu: gpu,
      library: args.library,
      wheels: wheel,
      isStock: stock === true,
      libraryCache: args.libraryCache,
      isForced: force,
      say: printNote,
    });
    if (trial === undefined) return;
    if (json) printJson(trial);
    else printNote(`${trial.fingerprint} is ready: ${trialWords} takes ${trial.milliseconds} ms`);
  },
};

export const setupCommand: CommandModule = {
  command: 'setup <engine>',
  describe: 'Set up what an engine needs beyond npm packages',
  builder: (y) => y.command(setupTensorflowCommand).demandCommand(1),
  handler: () => undefined,
};
