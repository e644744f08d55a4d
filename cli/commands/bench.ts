// `lockstep bench`: measurements of this machine, one subcommand each.

import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import { benchCoordinator } from '../../bench/coordinator.js';
import { benchEngines, enginesTable } from '../../bench/engines.js';
import { benchSamples } from '../../bench/samples.js';
import { benchStep } from '../../bench/step.js';
import { benchTransfers } from '../../bench/transfers.js';
import { machineLine } from '../../bench/turns/machine.js';
import { benchWatching } from '../../bench/watching/overhead.js';
import { checkpointBenchCommand } from './bench-checkpoint.js';
import { engineNames, precisions } from '../../shared/spec/schema.js';
import { providers } from '../../worker/engine/engine.js';
import { xlaProviders } from '../../worker/engine/xla/plugin.js';
import { devicesOption, parseDevices } from '../local/devices.js';
import { eachInRange, numberList, requireRanges } from '../number-ranges.js';
import { flagOption, numberOption, textOption, withPositional } from '../options.js';
import { printFigures, printJson, printLine, printNote } from '../output.js';
import { withStore } from '../stores.js';
import { resolveSpec, withSpecOptions, type SpecArguments } from '../spec-options.js';
import {
  exchangeCommand,
  precisionCommand,
  scalingCommand,
  trainBenchCommand,
} from './bench-workers.js';

const oneLine = { type: 'boolean', describe: 'Print JSON on one line' } as const;

/** What a measurement may be asked for: from 1 up. */
const mostCount = 4096;

const stepOptions = {
  batch: numberOption("Images (default: the spec's batch.size)"),
  threads: numberOption("Compute threads (default: the spec's engine.threads)"),
  engine: { choices: engineNames, describe: "What computes (default: the spec's engine.name)" },
  provider: { choices: providers, describe: 'On what (default: see docs/engines.md)' },
  precision: { choices: precisions, describe: "Of products (default: the spec's, or float32)" },
  devices: devicesOption,
  steps: numberOption('Steps that are measured', { default: 5 }),
  profile: textOption("Write the engine's profile to PREFIX*.json"),
  json: oneLine,
} as const satisfies Record<string, Options>;

const stepCommand: CommandModule<object, SpecArguments & InferredOptionTypes<typeof stepOptions>> =
  {
    command: 'step',
    describe: 'Time the training step on this machine, gradients and Adam, without exchange',
    builder: (y) =>
      withSpecOptions(y)
        .options(stepOptions)
        .example('$0 bench step --preset paper --batch 8 --threads 1', "The paper's networks"),
    handler: async (args) => {
      const spec = resolveSpec(args, 'paper');
      const { batch = spec.batch.size, threads = spec.engine.threads, steps } = args;
      const { engine = spec.engine.name, provider, profile } = args;
      const { precision = spec.engine.precision } = args;
      requireRanges('the step cannot be timed', {
        '--batch': [batch, 1, mostCount],
        '--threads': [threads, 1, mostCount],
        '--steps': [steps, 1, mostCount],
      });
      const devices = parseDevices(args.devices);
      const on = { engine, threads, provider, precision, devices };
      const options = { spec, batch, ...on, steps, profile };
      printFigures(await benchStep(options), args.json === true);
    },
  };

const enginesOptions = {
  engines: textOption('Engines with commas; ENGINE/PROVIDER, ENGINE/PROVIDER/PRECISION', {
    default: 'onnx,tensorflow',
  }),
  peer: textOption('A command that times the same step: see bench/peers in the repository'),
  preset: textOption('The spec', { default: 'paper' }),
  batch: numberOption('Images', { default: 8 }),
  threads: textOption('Numbers with commas', { default: '1' }),
  steps: numberOption('Steps a round', { default: 5 }),
  rounds: numberOption('Rounds; each tries all engines', { default: 3 }),
  'processor-time': flagOption('Compare processor seconds: where other work runs beside'),
  json: flagOption('Print JSON, a line a row'),
} as const satisfies Record<string, Options>;

const enginesCommand: CommandModule<object, InferredOptionTypes<typeof enginesOptions>> = {
  command: 'engines',
  describe: 'Time the step on several engines in turns, and make a table of it',
  builder: (y) =>
    y
      .options(enginesOptions)
      .example(
        '$0 bench engines --threads 1,2 --peer "python3 bench/peers/torch_step.py"',
        'the table of docs/performance.md',
      ),
  handler: async ({ peer, preset, batch, steps, rounds, json, ...args }) => {
    const threads = numberList(args.threads);
    requireRanges('the engines cannot be timed', {
      '--steps': [steps, 1, mostCount],
      '--rounds': [rounds, 1, mostCount],
      '--batch': [batch, 1, mostCount],
      ...eachInRange('--threads', threads, 1, mostCount),
    });
    const engines = args.engines.split(',');
    const counts = { batch, threads, steps, rounds };
    const { processorTime: isProcessorTime } = args;
    const what = { engines, peer, preset, isProcessorTime };
    const times = await benchEngines({ ...what, ...counts, say: printNote });
    if (json) return times.forEach(printJson);
    printLine(`${enginesTable(times, isProcessorTime)}\n\n${machineLine()}`);
  },
};

const transfersOptions = {
  provider: { choices: xlaProviders, describe: 'On what (default: see docs/engines.md)' },
  mib: numberOption('Length of the vector in MiB', { default: 96 }),
  repetitions: numberOption('Transfers each way', { default: 10 }),
  json: oneLine,
} as const satisfies Record<string, Options>;

const transfersCommand: CommandModule<object, InferredOptionTypes<typeof transfersOptions>> = {
  command: 'transfers',
  describe: 'Time a vector on its way to a device of the engine xla and back',
  builder: (y) =>
    y
      .options(transfersOptions)
      .example('$0 bench transfers --provider cuda', 'The gradients of the paper preset'),
  handler: async ({ provider, mib, repetitions, json }) => {
    requireRanges('the transfers cannot be timed', {
      '--mib': [mib, 1, 1024],
      '--repetitions': [repetitions, 1, 1000],
    });
    printFigures(await benchTransfers({ provider, mib, repetitions }), json === true);
  },
};

const coordinatorOptions = {
  workers: numberOption('Simulated workers', { default: 1000 }),
  deaths: numberOption('How many die at once', { default: 100 }),
  seconds: numberOption('Simulated seconds of training, one step each', { default: 20 }),
  json: oneLine,
} as const satisfies Record<string, Options>;

const coordinatorCommand: CommandModule<object, InferredOptionTypes<typeof coordinatorOptions>> = {
  command: 'coordinator',
  describe: 'Measure what the coordinator costs with many simulated workers, and when some die',
  builder: (y) =>
    y
      .options(coordinatorOptions)
      .example('$0 bench coordinator --workers 1000 --deaths 100', 'A tenth is lost at once'),
  handler: ({ workers, deaths, seconds, json }) => {
    requireRanges('the coordinator cannot be timed', {
      '--workers': [workers, 1, mostCount],
      '--deaths': [deaths, 0, workers - 1],
      '--seconds': [seconds, 1, 3600],
    });
    const result = benchCoordinator({ workers, deaths, seconds });
    if (json === true) return printJson(result);
    const { forming, takeover, loss, ...figures } = result;
    const named = (prefix: string, part: object = {}) =>
      Object.fromEntries(Object.entries(part).map(([name, value]) => [`${prefix}_${name}`, value]));
    const parts = [named('forming', forming), named('takeover', takeover), named('loss', loss)];
    printFigures(Object.assign(figures, ...parts) as object, false);
  },
};

const watchingOptions = {
  workers: numberOption('Worker processes', { default: 2 }),
  steps: numberOption('Steps of each run; the first 5 are not counted', { default: 40 }),
  rounds: numberOption('Rounds: a run without and one with', { default: 5 }),
  nats: textOption('nats:// url: the event bus is watched, too'),
  json: oneLine,
} as const satisfies Record<string, Options>;

const watchingCommand: CommandModule<
  object,
  SpecArguments & InferredOptionTypes<typeof watchingOptions>
> = {
  command: 'watching',
  describe: 'Time the steps of a run with all that shows it, over the same run without, in turns',
  builder: (y) =>
    withSpecOptions(y)
      .options(watchingOptions)
      .example('$0 bench watching -f run.yaml --rounds 5', 'The page open, metrics every second'),
  handler: async (args) => {
    const { workers, steps, rounds, nats: natsUrl } = args;
    requireRanges('watching cannot be timed', {
      '--workers': [workers, 1, 16],
      '--steps': [steps, 10, 100_000],
      '--rounds': [rounds, 1, 1000],
    });
    const options = { spec: resolveSpec(args), workers, steps, rounds, natsUrl, say: printNote };
    printFigures(await benchWatching(options), args.json === true);
  },
};

const samplesOptions = {
  samples: numberOption('Samples at most', { default: 1000 }),
  json: oneLine,
} as const satisfies Record<string, Options>;

type SamplesArguments = { readonly url: string } & InferredOptionTypes<typeof samplesOptions>;

const samplesCommand: CommandModule<object, SamplesArguments> = {
  command: 'samples <url>',
  describe: 'Time the reading of the samples of a dataset: bytes, sum and decoding',
  builder: (y) =>
    withPositional(y, 'url', 'Place of the dataset: s3://bucket/prefix or file://folder')
      .options(samplesOptions)
      .example('$0 bench samples file://faces', 'What the sums cost'),
  handler: async ({ url, samples, json }) => {
    requireRanges('the samples cannot be timed', { '--samples': [samples, 1, 1_000_000] });
    const result = await withStore(url, (store) => benchSamples(store, samples));
    printFigures(result, json === true);
  },
};

export const benchCommand: CommandModule = {
  command: 'bench <what>',
  describe: 'Measure what this machine can do',
  builder: (y) =>
    y
      .command(stepCommand)
      .command(enginesCommand)
      .command(exchangeCommand)
      .command(trainBenchCommand)
      .command(checkpointBenchCommand)
      .command(scalingCommand)
      .command(precisionCommand)
      .command(transfersCommand)
      .command(coordinatorCommand)
      .command(samplesCommand)
      .command(watchingCommand)
      .demandCommand(1),
  handler: () => undefined,
};
