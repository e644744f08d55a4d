// `lockstep bench engines`: the engines of this machine side by side, and beside a peer.

import { availableParallelism, cpus } from 'node:os';
import type { CommandModule } from 'yargs';
import { benchEngines, enginesTable } from '../../bench/engines.js';
import { requireCounts } from '../counts.js';
import { printJson, printLine, printNote } from '../output.js';

interface Arguments {
  readonly engines: string;
  readonly peer?: string | undefined;
  readonly preset: string;
  readonly batch: number;
  readonly threads: string;
  readonly steps: number;
  readonly rounds: number;
  readonly json: boolean;
}

export const benchEnginesCommand: CommandModule<object, Arguments> = {
  command: 'engines',
  describe: 'Time the step on several engines in turns, and make a table of it',
  builder: (y) =>
    y
      .option('engines', {
        type: 'string',
        default: 'onnx,tensorflow',
        describe: 'Engines with commas; ENGINE/PROVIDER for a certain provider',
      })
      .option('peer', {
        type: 'string',
        describe: 'A command that times the same step: see bench/peers in the repository',
      })
      .option('preset', { type: 'string', default: 'paper', describe: 'The spec' })
      .option('batch', { type: 'number', default: 8, describe: 'Images' })
      .option('threads', { type: 'string', default: '1', describe: 'Numbers with commas' })
      .option('steps', { type: 'number', default: 5, describe: 'Steps a round' })
      .option('rounds', { type: 'number', default: 3, describe: 'Rounds; each tries all engines' })
      .option('json', { type: 'boolean', default: false, describe: 'Print JSON, a line a row' })
      .example(
        '$0 bench engines --threads 1,2 --peer "python3 bench/peers/torch_step.py"',
        'the table of docs/performance.md',
      ),
  handler: async ({ json, ...args }) => {
    const counts = { steps: args.steps, rounds: args.rounds, batch: args.batch };
    const threads = args.threads.split(',').map(Number);
    const checked = Object.entries(counts).map(([name, n]) => [`--${name}`, n] as const);
    requireCounts('the engines cannot be timed', Object.fromEntries(checked));
    for (const n of threads) requireCounts('the engines cannot be timed', { '--threads': n });
    const { peer, preset } = args;
    const engines = args.engines.split(',');
    const times = await benchEngines({ engines, peer, preset, ...counts, threads, say: printNote });
    if (json) return times.forEach(printJson);
    printLine(`${enginesTable(times)}\n\n${machine()}`);
  },
};

/** "2 of AMD EPYC, Node v20.20.2, 2026-11-25" */
function machine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processors';
  const date = new Date().toISOString().slice(0, 10);
  return `${availableParallelism()} of ${model}, Node ${process.version}, ${date}`;
}
