// `lockstep setup`: what an engine needs beyond npm's packages.

import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import { flagOption, textOption } from '../options.js';
import { printJson, printNote } from '../output.js';
import { trialWords } from '../engine-trial.js';
import { setUpTensorflow } from '../setup/tensorflow-setup.js';
import { tensorflowVersion } from '../setup/tensorflow-wheels.js';

const options = {
  gpu: flagOption(`TensorFlow ${tensorflowVersion} with CUDA 12 and cuDNN 9 (default: for CPUs)`),
  library: textOption('A folder with a TensorFlow library'),
  wheel: textOption("Wheels of TensorFlow's (and NVIDIA's) on this machine, instead of PyPI's", {
    array: true,
  }),
  stock: {
    type: 'boolean',
    describe: "The package's own download: TensorFlow 2.9 and CUDA 11",
  },
  'library-cache': textOption('Folder that keeps unpacked libraries (default: ~/.cache/lockstep)'),
  force: flagOption('Compile the addon anew'),
  json: flagOption('Print the result as JSON'),
} as const satisfies Record<string, Options>;

const setupTensorflowCommand: CommandModule<object, InferredOptionTypes<typeof options>> = {
  command: 'tensorflow',
  describe: 'Build the addon of @tensorflow/tfjs-node-gpu against a TensorFlow of today',
  builder: (y) =>
    y
      .options(options)
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
