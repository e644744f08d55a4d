// `lockstep bench coordinator`: what a coordinator costs with many workers.

import type { CommandModule } from 'yargs';
import { benchCoordinator, type CoordinatorBenchResult } from '../../bench/coordinator.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import { printJson, printTable } from '../output.js';

interface Arguments {
  readonly workers: number;
  readonly deaths: number;
  readonly seconds: number;
  readonly json?: boolean | undefined;
}

export const benchCoordinatorCommand: CommandModule<object, Arguments> = {
  command: 'coordinator',
  describe: 'Measure what the coordinator costs with many simulated workers, and when some die',
  builder: (y) =>
    y
      .option('workers', { type: 'number', default: 1000, describe: 'Simulated workers' })
      .option('deaths', { type: 'number', default: 100, describe: 'How many die at once' })
      .option('seconds', {
        type: 'number',
        default: 20,
        describe: 'Simulated seconds of training, one step each',
      })
      .option('json', { type: 'boolean', describe: 'Print JSON on one line' })
      .example('$0 bench coordinator --workers 1000 --deaths 100', 'A tenth is lost at once'),
  handler: (args) => {
    requireRanges(args);
    const { workers, deaths, seconds } = args;
    show(benchCoordinator({ workers, deaths, seconds }), args.json === true);
  },
};

function requireRanges({ workers, deaths, seconds }: Arguments): void {
  const ranges = [
    { key: '--workers', given: workers, least: 1, most: 4096 },
    { key: '--deaths', given: deaths, least: 0, most: workers - 1 },
    { key: '--seconds', given: seconds, least: 1, most: 3600 },
  ];
  const problems = ranges.flatMap(({ key, given, least, most }): Problem[] => {
    if (Number.isInteger(given) && given >= least && given <= most) return [];
    return [{ key, given, allowed: `a whole number from ${least} to ${most}` }];
  });
  if (problems.length > 0) throw new OperatorError('the coordinator cannot be timed', problems);
}

function show(result: CoordinatorBenchResult, isJson: boolean): void {
  if (isJson) return printJson(result);
  const { forming, takeover, loss, ...figures } = result;
  printTable([
    ['figure', 'value'],
    ...Object.entries(figures),
    ...Object.entries(forming).map(([name, value]) => [`forming_${name}`, value]),
    ...Object.entries(takeover).map(([name, value]) => [`takeover_${name}`, value]),
    ...Object.entries(loss ?? {}).map(([name, value]) => [`loss_${name}`, value]),
  ]);
}
