// `lockstep status`: asks a run's coordinator where the run is, and prints it.

import type { CommandModule } from 'yargs';
import { withAdmin, type AdminArguments } from '../admin-client.js';
import { withAdminOptions } from '../admin-options.js';
import { printJson, printLine, printTable } from '../output.js';
import { statusJson, statusLines, workerRows } from '../status-view.js';

interface StatusArguments extends AdminArguments {
  readonly json: boolean;
}

export const statusCommand: CommandModule<object, StatusArguments> = {
  command: 'status <run>',
  describe: 'Say where a run is: its world, step, time left, checkpoint, and each worker',
  builder: (y) =>
    withAdminOptions(y)
      .example('$0 status tiny-20261124-190000', 'a run that lockstep train runs here')
      .example('$0 status s3://bucket/runs/faces --json', 'one JSON object, for scripts'),
  handler: async (args) => {
    const status = await withAdmin(args, async (_client, told) => told);
    if (args.json) return printJson(statusJson(status));
    statusLines(status).forEach(printLine);
    if (status.workers.length > 0) printTable(workerRows(status));
  },
};
