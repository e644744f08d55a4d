// `lockstep resume`: goes on with a run from its newest whole checkpoint, on any number of workers,
// here or in the cluster it was launched in.

import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import { settledTerm } from '../../coordinator/edge/terms.js';
import { OperatorError } from '../../shared/problems.js';
import { recordKey } from '../../shared/spec/record.js';
import { trainingOptions, trainLocally } from '../local/train-locally.js';
import {
  withCluster,
  withClusterOptions,
  type ClusterArguments,
} from '../kubernetes/cluster-access.js';
import { resumeRun } from '../kubernetes/launch.js';
import { isClusterRun, parseClusterRun } from '../kubernetes/names.js';
import { requireRun } from '../kubernetes/run-state.js';
import { waitForRun } from '../kubernetes/wait-for-run.js';
import { flagOption, withPositional, wordOption } from '../options.js';
import { runUrl, withStore } from '../stores.js';
import { httpFlagProblems } from '../watch/http-options.js';

const options = {
  ...trainingOptions,
  dataset: wordOption('Where the dataset lies now, if it has been moved'),
  workers: {
    ...trainingOptions.workers,
    default: undefined,
    defaultDescription: '1; in a cluster as many as it had',
  },
} as const;

const clusterOptions = {
  image: wordOption('In a cluster: another image'),
  detach: flagOption('In a cluster: do not wait for the end'),
} as const satisfies Record<string, Options>;

type ResumeArguments = { readonly run: string } & ClusterArguments &
  InferredOptionTypes<typeof options & typeof clusterOptions>;

export const resumeCommand: CommandModule<object, ResumeArguments> = {
  command: 'resume <run>',
  describe: 'Go on with a run from its newest whole checkpoint, on any number of workers',
  builder: (y) =>
    withPositional(
      withClusterOptions(y.options(options)),
      'run',
      'file:// or s3:// folder of the run, the id of a local run, or k8s://NAMESPACE/NAME',
    )
      .options(clusterOptions)
      .example('$0 resume s3://bucket/runs/faces --workers 4', 'resume on four workers')
      .example('$0 resume faces --dataset s3://bucket/faces', 'its dataset was moved there')
      .example('$0 resume k8s://training/faces', 'a run whose Jobs have failed'),
  handler: async (args) => {
    if (isClusterRun(args.run)) return resumeInCluster(args);
    refuseClusterOptions(args);
    const url = runUrl(args.run, { orElse: 'k8s://NAMESPACE/NAME' });
    // A leader that lives must be known, so that this one takes a later term.
    await withStore(url, async (store) => {
      if ((await store.head(recordKey)) !== undefined) await settledTerm(store);
    });
    await trainLocally({ ...args, workers: args.workers ?? 1 }, url);
  },
};

async function resumeInCluster(args: ResumeArguments): Promise<void> {
  const run = parseClusterRun(args.run);
  const problems = httpFlagProblems(args, 'for runs here: those in a cluster have their own page');
  if (problems.length > 0) throw new OperatorError('the run can not be resumed', problems);
  const { workers, image, dataset } = args;
  await withCluster(args, async (client) => {
    const found = await requireRun(client, run);
    const change = {
      ...(workers === undefined ? {} : { workers }),
      ...(image === undefined ? {} : { image }),
      ...(dataset === undefined ? {} : { datasetUrl: dataset }),
    };
    await waitForRun(client, await resumeRun(client, found, change), args);
  });
}

function refuseClusterOptions({ image, detach }: ResumeArguments): void {
  const given = { '--image': image, '--detach': detach || undefined };
  const problems = Object.entries(given)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ({ key, given: value, allowed: 'for k8s://NAMESPACE/NAME only' }));
  if (problems.length > 0) throw new OperatorError('the run can not be resumed', problems);
}
