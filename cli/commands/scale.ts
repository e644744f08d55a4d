// `lockstep scale`: says how many workers a running run is to have.

import type { CommandModule } from 'yargs';
import { requireWorkers } from '../../shared/spec/validate.js';
import { amountOption } from '../options.js';
import { withControlOptions, withRunControl, type ControlArguments } from '../run-control.js';
import { withCluster } from '../kubernetes/cluster-access.js';
import { isClusterRun, parseClusterRun } from '../kubernetes/names.js';
import { scaleRun } from '../kubernetes/scale.js';
import { printJson, printLine } from '../output.js';

type ScaleArguments = ControlArguments & { readonly workers: number };

export const scaleCommand: CommandModule<object, ScaleArguments> = {
  command: 'scale <run>',
  describe: 'Change how many workers a run has while it trains; the bytes stay the same',
  builder: (y) =>
    withControlOptions(y)
      .option(
        'workers',
        amountOption('Workers that it is to have, from 1 to batch.microShards of its spec', {
          demandOption: true,
        }),
      )
      .example('$0 scale tiny-20261124-190000 --workers 4', 'four workers from the next step on')
      .example('$0 scale k8s://training/faces --workers 4', 'pods come or go'),
  handler: async (args) => {
    const { workers } = args;
    requireWorkers('the run can not be scaled', workers);
    const { run, before } = isClusterRun(args.run)
      ? await scaleInCluster(args)
      : await withRunControl(args, async (client, status) => ({
          run: status.run,
          ...(await client.scale(workers)),
        }));
    if (args.json) printJson({ run, before, workers });
    else if (before === workers) printLine(`${run} has ${workers} workers already`);
    else printLine(`${run}: ${before} workers, ${workers} from the next steps on`);
  },
};

async function scaleInCluster(args: ScaleArguments): Promise<{ run: string; before: number }> {
  const run = parseClusterRun(args.run);
  const scaled = await withCluster(args, (client) => scaleRun(client, run, args.workers));
  return { run: args.run, ...scaled };
}
