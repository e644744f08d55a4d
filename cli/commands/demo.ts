// `lockstep demo`: everything at once on real faces, as a first look and as a check that it works.

import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import { readEnvironment } from '../../shared/environment.js';
import { runDemo } from '../demo/demo.js';
import { stopWhenInterrupted } from '../interruptions.js';
import { flagOption, numberOption, textOption } from '../options.js';

const options = {
  out: textOption('Folder for the results', { default: 'demo-out' }),
  faces: textOption('Photographs of your own: a folder or an s3:// url'),
  workers: numberOption('Worker processes', { default: 2 }),
  set: textOption('Change a key of the demo preset: key.path=value', {
    array: true,
    default: [] as string[],
  }),
  force: flagOption('Delete what is in the folder, even if no demo made it'),
} as const satisfies Record<string, Options>;

export const demoCommand: CommandModule<object, InferredOptionTypes<typeof options>> = {
  command: 'demo',
  describe: 'Train on real faces with two workers, stop, resume, and show what came out',
  builder: (yargs) =>
    yargs
      .options(options)
      .example('$0 demo', 'Run it')
      .example('$0 demo --faces portraits/', 'On photographs of your own'),
  handler: async ({ out, faces, workers, set, force }) => {
    const { s3, isPlain } = readEnvironment();
    process.exitCode = await runDemo({
      out,
      faces,
      workers,
      force,
      overrides: set,
      store: { s3 },
      isPlain,
      signal: stopWhenInterrupted(),
    });
  },
};
