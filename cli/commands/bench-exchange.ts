// `lockstep bench exchange`: how fast worker processes on this machine average a vector.

import type { CommandModule } from 'yargs';
import { benchExchange, type ExchangeBenchResult } from '../../bench/exchange.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import { printJson, printTable } from '../output.js';

interface Arguments {
  readonly workers: number;
  readonly mib: number;
  readonly steps: number;
  readonly 'warm-up': number;
  readonly json?: boolean | undefined;
}

const ranges = { workers: [2, 16], mib: [1, 1024], steps: [1, 1000], 'warm-up': [2, 100] } as const;

export const benchExchangeCommand: CommandModule<object, Arguments> = {
  command: 'exchange',
  describe: 'Time the all-reduce between worker processes over loopback, checking every bit',
  builder: (y) =>
    y
      .option('workers', { type: 'number', default: 2, describe: 'Worker processes' })
      .option('mib', { type: 'number', default: 95, describe: 'Length of the vector in MiB' })
      .option('steps', { type: 'number', default: 10, describe: 'Steps that are measured' })
      .option('warm-up', { type: 'number', default: 3, describe: 'Steps before them' })
      .option('json', { type: 'boolean', describe: 'Print JSON on one line' })
      .example('$0 bench exchange --workers 2 --mib 95', 'The gradients of the paper preset'),
  handler: async (args) => {
    requireRanges(args);
    const { workers, mib, steps, 'warm-up': warmUp } = args;
    show(await benchExchange({ workers, mib, steps, warmUp }), args.json === true);
  },
};

function requireRanges(args: Arguments): void {
  const problems = Object.entries(ranges).flatMap(([key, [least, most]]): Problem[] => {
    const given = args[key as keyof typeof ranges];
    if (Number.isInteger(given) && given >= least && given <= most) return [];
    return [{ key: `--${key}`, given, allowed: `a whole number from ${least} to ${most}` }];
  });
  if (problems.length > 0) throw new OperatorError('the exchange cannot be timed', problems);
}

function show(result: ExchangeBenchResult, isJson: boolean): void {
  if (isJson) printJson(result);
  else printTable([['figure', 'value'], ...Object.entries(result)]);
}
