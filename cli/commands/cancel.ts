// `lockstep cancel`: takes a run out of a cluster; its checkpoints stay in the object store.

import type { CommandModule } from 'yargs';
import { cancelRun } from '../kubernetes/cancel.js';
import {
  withCluster,
  withClusterOptions,
  type ClusterArguments,
} from '../kubernetes/cluster-access.js';
import { formatClusterRun, parseClusterRun } from '../kubernetes/names.js';
import { flagOption, withPositional } from '../options.js';
import { printJson, printLine, printNote } from '../output.js';

type CancelArguments = ClusterArguments & { readonly run: string; readonly json: boolean };

export const cancelCommand: CommandModule<object, CancelArguments> = {
  command: 'cancel <run>',
  describe: 'End a run in a cluster and leave nothing of it there; its checkpoints stay',
  builder: (y) =>
    withPositional(withClusterOptions(y), 'run', 'k8s://NAMESPACE/NAME')
      .option('json', flagOption('Print one JSON object'))
      .example('$0 cancel k8s://training/faces', 'all its objects and pods'),
  handler: async (args) => {
    const run = parseClusterRun(args.run);
    await withCluster(args, (client) =>
      cancelRun(client, run, (left) => {
        if (args.json) return;
        const shown = left.length > 4 ? `${left.slice(0, 4).join(', ')} ...` : left.join(', ');
        printNote(`waiting for ${left.length} to go: ${shown}`);
      }),
    );
    if (args.json) printJson({ run: formatClusterRun(run), cancelled: true });
    else printLine(`${formatClusterRun(run)} is gone; launch it again to go on`);
  },
};
