// `lockstep resume`: goes on with a run from its newest whole checkpoint, on any number of workers.

import type { CommandModule } from 'yargs';
import { trainLocally, type LocalTrainingArguments } from '../cluster/train-locally.js';
import { withTrainingOptions } from '../cluster/training-options.js';
import { runUrl } from '../run-location.js';

interface ResumeArguments extends LocalTrainingArguments {
  run: string;
}

export const resumeCommand: CommandModule<object, ResumeArguments> = {
  command: 'resume <run>',
  describe: 'Go on with a run from its newest whole checkpoint, on any number of workers',
  builder: (y) =>
    withTrainingOptions(
      y.positional('run', {
        type: 'string',
        demandOption: true,
        describe: 'file:// or s3:// folder of the run, or the id of a local run',
      }),
    ).example('$0 resume s3://bucket/runs/faces --workers 4', 'resume on four workers'),
  handler: async (args) => {
    await trainLocally(args, runUrl(args.run));
  },
};
