// `lockstep bench exchange` and `bench train`: several workers on this machine, beside a peer;
// `bench scaling` computes what more of them would take, `bench precision` judges what they learn.

import { writeFile } from 'node:fs/promises';
import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import { benchLinks } from '../../bench/exchange.js';
import { exchangedModel, measureCosts } from '../../bench/scaling/measure.js';
import { scalingCases, scalingPage } from '../../bench/scaling/page.js';
import { machineLine } from '../../bench/turns/machine.js';
import { benchExchanges, exchangeTable } from '../../bench/turns/exchange-turns.js';
import { precisionTable, studyPrecision } from '../../bench/turns/precision-study.js';
import { benchTraining, trainingTable } from '../../bench/turns/training-turns.js';
import { OperatorError } from '../../shared/problems.js';
import { maxLanes } from '../../shared/control/messages.js';
import { exchangePrecisions } from '../../shared/plan/step-vector.js';
import { engineNames, type RunSpec } from '../../shared/spec/schema.js';
import { eachInRange, numberList, requireRanges } from '../number-ranges.js';
import { amountOption, flagOption, numberOption, textOption, wordOption } from '../options.js';
import { printJson, printLine, printNote } from '../output.js';
import { resolveSpec, withSpecOptions, type SpecArguments } from '../spec-options.js';

const exchangeOptions = {
  workers: textOption('Numbers of worker processes, with commas', { default: '2' }),
  mib: numberOption('Length of the vector in MiB of float32', { default: 95 }),
  precision: textOption('What values are sent and summed in, with commas', { default: 'float32' }),
  lanes: textOption('Numbers of lanes, with commas', { default: '1' }),
  link: textOption('Ways to each other: socket (Unix), tcp, tls; with commas', {
    default: 'socket',
  }),
  peer: wordOption('A command that times the same all-reduce: see bench/peers in the repository'),
  steps: numberOption('Steps that are measured, a round', { default: 10 }),
  'warm-up': numberOption('Steps before them', { default: 3 }),
  rounds: numberOption('Rounds; each tries all in turns', { default: 1 }),
  json: flagOption('Print JSON, a line a row'),
} as const satisfies Record<string, Options>;

export const exchangeCommand: CommandModule<object, InferredOptionTypes<typeof exchangeOptions>> = {
  command: 'exchange',
  describe: 'Time the all-reduce between worker processes over loopback, checking every bit',
  builder: (y) =>
    y
      .options(exchangeOptions)
      .example('$0 bench exchange --workers 2 --mib 95', 'The gradients of the paper preset')
      .example(
        '$0 bench exchange --workers 2,4 --precision float32,bfloat16 --lanes 1,2 --rounds 5 ' +
          '--peer "python3 bench/peers/gloo_allreduce.py"',
        'In turns with gloo, on the same cores',
      )
      .example('$0 bench exchange --link tcp,tls --rounds 5', 'What mutual TLS costs'),
  handler: async ({ mib, steps, warmUp, rounds, peer, json, ...args }) => {
    const [workers, lanes] = [numberList(args.workers), numberList(args.lanes)];
    const precisions = namesOf('--precision', args.precision, exchangePrecisions);
    const links = namesOf('--link', args.link, benchLinks);
    requireRanges('the exchange cannot be timed', {
      ...eachInRange('--workers', workers, 2, 16),
      ...eachInRange('--lanes', lanes, 1, maxLanes),
      '--mib': [mib, 1, 1024],
      '--steps': [steps, 1, 1000],
      '--warm-up': [warmUp, 2, 100],
      '--rounds': [rounds, 1, 1000],
    });
    const counts = { workers, precisions, lanes, links, mib, steps, warmUp, rounds };
    const rows = await benchExchanges({ ...counts, peer, say: printNote });
    if (json) return rows.forEach(printJson);
    printLine(`${exchangeTable(rows)}\n\n${mib} MiB, 4 bytes a value; ${machineLine()}`);
  },
};

const trainOptions = {
  workers: numberOption('Worker processes', { default: 2 }),
  batch: numberOption("Images of each worker's micro-shard (default: the spec's batch.size)"),
  threads: numberOption('Compute threads of each worker', { default: 1 }),
  engine: textOption('Engines, with commas', { default: 'onnx' }),
  lanes: amountOption("Lanes of each worker's exchange (default: by the cores)"),
  factored: wordOption("Values of exchange.factored, with commas (default: the spec's)"),
  precision: wordOption("Values of exchange.precision, with commas (default: the spec's)"),
  link: wordOption(
    'Ways between workers, with commas: socket (Unix), tcp, tls (default: by train)',
  ),
  peer: wordOption('A command that trains the same steps: see bench/peers in the repository'),
  steps: numberOption('Steps that are measured, a round', { default: 8 }),
  'warm-up': numberOption('Steps before them', { default: 3 }),
  rounds: numberOption('Rounds; each tries all in turns', { default: 3 }),
  json: flagOption('Print JSON, a line a row'),
} as const satisfies Record<string, Options>;

export const trainBenchCommand: CommandModule<
  object,
  SpecArguments & InferredOptionTypes<typeof trainOptions>
> = {
  command: 'train',
  describe: 'Time whole steps of a real run on this machine, exchange and update included',
  builder: (y) =>
    withSpecOptions(y)
      .options(trainOptions)
      .example(
        '$0 bench train --workers 2 --batch 8 --engine tensorflow,onnx ' +
          '--peer "python3 bench/peers/torch_ddp.py"',
        'The paper preset in turns with PyTorch DDP, on the same cores',
      )
      .example('$0 bench train --batch 8 --link tcp,tls', 'What mutual TLS costs a step'),
  handler: async (args) => {
    const spec = resolveSpec(args, 'paper');
    const { workers, batch = spec.batch.size, threads, steps, warmUp, rounds, peer } = args;
    requireRanges('training cannot be timed', {
      '--workers': [workers, 1, 16],
      '--batch': [batch, 1, 4096],
      '--threads': [threads, 1, 256],
      '--lanes': [args.lanes, 1, maxLanes],
      '--steps': [steps, 1, 10_000],
      '--warm-up': [warmUp, 1, 1000],
      '--rounds': [rounds, 1, 1000],
    });
    const counts = { workers, batch, threads, steps, warmUp, rounds };
    const engines = namesOf('--engine', args.engine, engineNames);
    const keys = {
      ...(args.factored === undefined ? {} : { 'exchange.factored': args.factored.split(',') }),
      ...(args.precision === undefined ? {} : { 'exchange.precision': args.precision.split(',') }),
    };
    const links = args.link === undefined ? undefined : namesOf('--link', args.link, benchLinks);
    const what = { spec, engines, keys, links, lanes: args.lanes, peer };
    const rows = await benchTraining({ ...counts, ...what, say: printNote });
    if (args.json) return rows.forEach(printJson);
    const each = `${workers} workers, ${batch} images and ${threads} thread(s) each`;
    printLine(`${trainingTable(rows)}\n\n${spec.name}: ${each}; ${machineLine()}`);
  },
};

/** Names with commas, each of those allowed. */
function namesOf<T extends string>(key: string, text: string, allowed: readonly T[]): T[] {
  return text.split(',').map((name) => {
    const found = allowed.find((one) => one === name);
    if (found !== undefined) return found;
    const problem = { key, given: name, allowed: `any of ${allowed.join(', ')}, with commas` };
    throw new OperatorError('nothing can be timed', [problem]);
  });
}

const scalingOptions = {
  preset: textOption('The spec', { default: 'paper' }),
  batch: numberOption('Images of a micro-shard', { default: 16 }),
  leaves: numberOption('Micro-shards of each worker', { default: 1 }),
  workers: textOption('Numbers with commas', { default: '8,16,32,64,128,256' }),
  links: textOption("Of each worker's link, Gbit/s, with commas", { default: '1,10,25,100' }),
  lanes: textOption('Numbers of lanes to choose from, with commas', { default: '1,2,4' }),
  engine: { choices: engineNames, default: 'onnx', describe: 'What multiplies factors' },
  grpc: amountOption('Processor seconds of gRPC a GiB, instead of a measurement'),
  gflops: amountOption('Gflop/s of products, instead of a measurement'),
  out: wordOption('File for the page, instead of printing it'),
  json: flagOption('Print JSON, a line a case'),
} as const satisfies Record<string, Options>;

export const scalingCommand: CommandModule<object, InferredOptionTypes<typeof scalingOptions>> = {
  command: 'scaling',
  describe: 'Compute what the exchange takes with more workers and other links, and what to choose',
  builder: (y) =>
    y
      .options(scalingOptions)
      .example('$0 bench scaling --out docs/scaling.md', 'With what this machine measures')
      .example('$0 bench scaling --gflops 10000 --json', 'Where a GPU multiplies'),
  handler: async (args) => {
    const { batch, leaves: leavesPerWorker, grpc, gflops, json, out } = args;
    const [workers, lanes] = [numberList(args.workers), numberList(args.lanes)];
    const linksGbits = numberList(args.links);
    requireRanges('the exchange cannot be modelled', {
      ...eachInRange('--workers', workers, 2, 4096),
      ...eachInRange('--lanes', lanes, 1, maxLanes),
      ...eachInRange('--links', linksGbits, 1, 10_000),
      '--batch': [batch, 1, 4096],
      '--leaves': [leavesPerWorker, 1, 4096],
      '--gflops': [gflops, 1],
    });
    const spec = resolveSpec({ preset: args.preset });
    const patch: RunSpec = { ...spec, discriminator: { ...spec.discriminator, head: 'patch' } };
    const models = [
      exchangedModel(`The preset ${spec.name}`, spec, batch),
      exchangedModel(`The same without a dense layer (discriminator.head: patch)`, patch, batch),
    ];
    const given = {
      ...(grpc === undefined ? {} : { grpcSecondsPerGib: grpc }),
      ...(gflops === undefined ? {} : { gflops }),
    };
    const costs = await measureCosts(given, args.engine, printNote);
    const options = { models, batch, workers, linksGbits, lanes, leavesPerWorker, costs };
    if (json) return scalingCases(options).forEach(printJson);
    const page = scalingPage(options, machineLine());
    if (out === undefined) printLine(page);
    else await writeFile(out, page);
  },
};

const precisionOptions = {
  seeds: textOption('Seeds with commas', { default: '1,2,3' }),
  workers: numberOption('Worker processes', { default: 2 }),
  precision: { choices: exchangePrecisions, default: 'bfloat16', describe: 'What is judged' },
  factored: { choices: ['auto', 'never'], default: 'auto', describe: 'With which factoring' },
  json: flagOption('Print JSON, a line a seed'),
} as const satisfies Record<string, Options>;

export const precisionCommand: CommandModule<
  object,
  SpecArguments & InferredOptionTypes<typeof precisionOptions>
> = {
  command: 'precision',
  describe: 'Train from several seeds with float32 and with another exchange, and compare the PSNR',
  builder: (y) =>
    withSpecOptions(y)
      .options(precisionOptions)
      .example(
        '$0 bench precision --set discriminator.head=dense --set discriminator.hidden=1024',
        'The preset demo on the faces of examples/, with a product that is worth factoring',
      ),
  handler: async (args) => {
    const { workers, precision, factored, json } = args;
    const seeds = numberList(args.seeds);
    const spec = resolveSpec(args, 'demo');
    requireRanges('the exchange cannot be judged', {
      ...eachInRange('--seeds', seeds, 0, 0xffff_ffff),
      '--workers': [workers, 1, spec.batch.microShards],
    });
    const exchange = { precision, factored };
    const rows = await studyPrecision({ spec, seeds, workers, exchange, say: printNote });
    if (json) return rows.forEach(printJson);
    const judged = `${rows[0]?.faces} faces, bicubic ${rows[0]?.bicubic_db.toFixed(3)} dB`;
    printLine(`${precisionTable(rows, exchange)}\n\n${spec.name}: ${judged}; ${machineLine()}`);
  },
};
