// `lockstep setup`: what an engine needs beyond npm's packages.

import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import { flagOption, textOption } from '../options.js';
import { printJson, printNote } from '../output.js';
import { trialWords } from '../engine-trial.js';
import { setUpTensorflow } from '../setup/tensorflow-setup.js';
import { tensorflowVersion } from '../setup/tensorflow-wheels.js';
import { setUpXla } from '../setup/xla-setup.js';

const tensorflowOptions = {
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

const setupTensorflowCommand: CommandModule<
  object,
  InferredOptionTypes<typeof tensorflowOptions>
> = {
  command: 'tensorflow',
  describe: 'Build the addon of @tensorflow/tfjs-node-gpu against a TensorFlow of today',
  builder: (y) =>
    y
      .options(tensorflowOptions)
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

const xlaOptions = {
  cuda: { choices: [12, 13], describe: "For NVIDIA GPUs, with this CUDA's libraries" },
  rocm: { type: 'boolean', describe: 'For AMD GPUs, with ROCm 7 of the machine' },
  cpu: { type: 'boolean', describe: 'For CPUs: to check what is computed' },
  plugin: textOption('A PJRT plugin on this machine, used where it lies'),
  wheel: textOption("Wheels of a plugin's (and NVIDIA's) on this machine, instead of PyPI's", {
    array: true,
  }),
  'library-cache': textOption('Folder that keeps unpacked wheels (default: ~/.cache/lockstep/xla)'),
  json: flagOption('Print what the plugin drives as JSON'),
} as const satisfies Record<string, Options>;

const setupXlaCommand: CommandModule<object, InferredOptionTypes<typeof xlaOptions>> = {
  command: 'xla',
  describe: "Install a plugin of XLA's: for NVIDIA or AMD GPUs, or for CPUs",
  builder: (y) =>
    y
      .options(xlaOptions)
      .conflicts('cpu', ['cuda', 'rocm'])
      .conflicts('rocm', 'cuda')
      .conflicts('plugin', 'wheel')
      .example('$0 setup xla', 'for what this machine has: by nvidia-smi')
      .example('$0 setup xla --cuda 13', 'with the libraries of CUDA 13 from PyPI (2.5 GB)')
      .example('$0 setup xla --plugin /opt/xla/pjrt_plugin.so', 'a plugin of yours'),
  handler: async ({ cuda, rocm, cpu, plugin, wheel, libraryCache, json }) => {
    const named = [
      ...(cpu === true ? (['cpu'] as const) : []),
      ...(rocm === true ? (['rocm'] as const) : []),
      ...(cuda === undefined ? [] : [`cuda${cuda}` as const]),
    ];
    const report = await setUpXla({
      kind: named[0],
      ...{ plugin, wheels: wheel, libraryCache, say: printNote },
    });
    if (json) printJson(report ?? null);
    else if (report !== undefined) printNote(`${report.origin} is ready on ${report.provider}`);
  },
};

export const setupCommand: CommandModule = {
  command: 'setup <engine>',
  describe: 'Set up what an engine needs beyond npm packages',
  builder: (y) => y.command(setupTensorflowCommand).command(setupXlaCommand).demandCommand(1),
  handler: () => undefined,
};
