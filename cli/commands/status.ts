// `lockstep status`: where a run is. A run's coordinator is asked, or the cluster that it is in.

import type { CommandModule } from 'yargs';
import { withControlOptions, withRunControl, type ControlArguments } from '../run-control.js';
import { withCluster } from '../kubernetes/cluster-access.js';
import { isClusterRun, parseClusterRun } from '../kubernetes/names.js';
import {
  clusterStatusJson,
  clusterStatusLines,
  memberRows,
  podRows,
  readClusterStatus,
} from '../kubernetes/status.js';
import { printJson, printLine, printTable } from '../output.js';
import { statusJson, statusLines, workerRows } from '../status-view.js';

interface StatusArguments extends ControlArguments {
  readonly json: boolean;
}

export const statusCommand: CommandModule<object, StatusArguments> = {
  command: 'status <run>',
  describe: 'Say where a run is: its world, step, time left, checkpoint, and each worker',
  builder: (y) =>
    withControlOptions(y)
      .example('$0 status tiny-20261124-190000', 'a run that lockstep train runs here')
      .example('$0 status s3://bucket/runs/faces --json', 'one JSON object, for scripts')
      .example('$0 status k8s://training/faces', 'a run in a cluster'),
  handler: async (args) => {
    if (isClusterRun(args.run)) return clusterStatus(args);
    const status = await withRunControl(args, async (_client, told) => told);
    if (args.json) return printJson(statusJson(status));
    statusLines(status).forEach(printLine);
    if (status.workers.length > 0) printTable(workerRows(status));
  },
};

async function clusterStatus(args: StatusArguments): Promise<void> {
  const run = parseClusterRun(args.run);
  const status = await withCluster(args, (client) => readClusterStatus(client, run));
  if (args.json) return printJson(clusterStatusJson(status));
  clusterStatusLines(status).forEach(printLine);
  for (const rows of [memberRows(status), podRows(status)]) if (rows.length > 0) printTable(rows);
}
