// `lockstep logs`: what the pods of a run in a cluster print.

import type { Argv, CommandModule } from 'yargs';
import { OperatorError } from '../../shared/problems.js';
import { stopOnSignals } from '../processes.js';
import { withCluster, withClusterOptions } from '../kubernetes/cluster-access.js';
import { parseClusterRun } from '../kubernetes/names.js';
import { showLogs } from '../kubernetes/logs.js';
import { printJson, printLine, printNote } from '../output.js';

interface LogsArguments {
  readonly run: string;
  readonly context?: string | undefined;
  readonly workers: boolean;
  readonly worker?: number | undefined;
  readonly follow: boolean;
  readonly tail?: number | undefined;
  readonly json: boolean;
}

export const logsCommand: CommandModule<object, LogsArguments> = {
  command: 'logs <run>',
  describe: 'Show what the coordinators or workers of a run in a cluster print',
  builder: (y) =>
    withClusterOptions(y)
      .positional('run', { type: 'string', demandOption: true, describe: 'k8s://NAMESPACE/NAME' })
      .option('workers', {
        type: 'boolean',
        default: false,
        describe: 'All workers, instead of the coordinators',
      })
      .option('worker', { type: 'number', requiresArg: true, describe: 'The worker of this index' })
      .option('follow', { type: 'boolean', default: false, describe: 'Until the run has finished' })
      .option('tail', { type: 'number', requiresArg: true, describe: 'Lines from the end of each' })
      .option('json', { type: 'boolean', default: false, describe: 'One {pod, line} a line' })
      .example('$0 logs k8s://training/faces --follow', 'what the coordinators say, as it comes')
      .example(
        '$0 logs k8s://training/faces --worker 2',
        'worker-2',
      ) as Argv<object> as Argv<LogsArguments>,
  handler: async (args) => {
    const run = parseClusterRun(args.run);
    requireCounts(args);
    const { worker: index, follow, tail } = args;
    const component = args.workers || index !== undefined ? 'worker' : 'coordinator';
    const signal = follow ? stopOnSignals(() => undefined) : new AbortController().signal;
    const request = { component, index, follow, tail, signal } as const;
    const pods = await withCluster(args, (client) =>
      showLogs(client, run, request, (pod, line) => {
        if (args.json) printJson({ pod, line });
        else printLine(`${pod}  ${line}`);
      }),
    );
    if (pods === 0) printNote(`there are no pods of ${args.run} to show`);
  },
};

function requireCounts({ worker, tail }: LogsArguments): void {
  const problems = Object.entries({ worker, tail })
    .filter(([, value]) => value !== undefined && !(Number.isInteger(value) && value >= 0))
    .map(([key, given]) => ({ key: `--${key}`, given, allowed: 'a whole number, 0 or more' }));
  if (problems.length > 0) throw new OperatorError('the flags are wrong', problems);
}
