// `lockstep logs`: what the pods of a run in a cluster print.

import type { CommandModule, InferredOptionTypes } from 'yargs';
import { OperatorError } from '../../shared/problems.js';
import { amountOption, flagOption, withPositional } from '../options.js';
import {
  withCluster,
  withClusterOptions,
  type ClusterArguments,
} from '../kubernetes/cluster-access.js';
import { parseClusterRun } from '../kubernetes/names.js';
import { showLogs } from '../kubernetes/logs.js';
import { printJson, printLine, printNote } from '../output.js';

const options = {
  workers: flagOption('All workers, instead of the coordinators'),
  worker: amountOption('The worker of this index'),
  follow: flagOption('Until the run has finished'),
  tail: amountOption('Lines from the end of each'),
  json: flagOption('One {pod, line} a line'),
};

type LogsArguments = ClusterArguments & { readonly run: string } & InferredOptionTypes<
    typeof options
  >;

export const logsCommand: CommandModule<object, LogsArguments> = {
  command: 'logs <run>',
  describe: 'Show what the coordinators or workers of a run in a cluster print',
  builder: (y) =>
    withPositional(withClusterOptions(y), 'run', 'k8s://NAMESPACE/NAME')
      .options(options)
      .example('$0 logs k8s://training/faces --follow', 'what the coordinators say, as it comes')
      .example('$0 logs k8s://training/faces --worker 2', 'worker-2'),
  handler: async (args) => {
    const run = parseClusterRun(args.run);
    requireCounts(args);
    const { worker: index, follow, tail } = args;
    const component = args.workers || index !== undefined ? 'worker' : 'coordinator';
    // Nothing is to be put in order: an interruption ends the command.
    const { signal } = new AbortController();
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
