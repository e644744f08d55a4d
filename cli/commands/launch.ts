// `lockstep launch`: brings a run into a Kubernetes cluster and waits for its end. The cluster does
// the work; this command may be left, and called again.

import type { CommandModule } from 'yargs';
import { printLine, printNote } from '../output.js';
import { resolveSpecDocument } from '../spec-options.js';
import { withCluster } from '../kubernetes/cluster-access.js';
import {
  launchParametersOf,
  requireLaunchable,
  withLaunchOptions,
  type LaunchArguments,
} from '../kubernetes/launch-parameters.js';
import { launchRun } from '../kubernetes/launch.js';
import { secretWords } from '../kubernetes/certificates/secret-words.js';
import { printObjects, runObjects } from '../kubernetes/objects/run-objects.js';
import { waitForRun } from '../kubernetes/wait-for-run.js';

export const launchCommand: CommandModule<object, LaunchArguments> = {
  command: 'launch',
  describe: 'Launch a run on Kubernetes, or go on with it, and wait for its end',
  builder: (y) =>
    withLaunchOptions(y)
      .example(
        '$0 launch -f run.yaml --run s3://bucket/runs/faces --workers 4 --gpus-per-worker 1 ' +
          '--image registry.example.com/lockstep:0.1.0-gpu --s3-secret s3',
        'four GPUs; the same again goes on with the run',
      )
      .example('$0 launch -f run.yaml ... --dry-run | kubectl apply -f -', 'the objects as YAML'),
  handler: async (args) => {
    const document = resolveSpecDocument(args);
    const parameters = launchParametersOf(args, document.spec);
    requireLaunchable(parameters, document.spec);
    if (args.dryRun) {
      const { microShards } = document.spec.batch;
      const objects = printObjects(runObjects(parameters, document.text, { microShards }));
      printLine(`${secretWords(parameters, microShards)}${objects}`.trimEnd());
      return;
    }
    await withCluster(args, async (client) => {
      const launched = await launchRun(client, parameters, document);
      const has = launched.parameters.workers;
      if (has !== parameters.workers && launched.action === 'running')
        printNote(`it has ${has} workers, not ${parameters.workers}: lockstep scale changes that`);
      await waitForRun(client, launched, args);
    });
  },
};
