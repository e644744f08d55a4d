// The options of the commands that ask a run's coordinator.

import type { Argv } from 'yargs';
import type { AdminArguments } from './admin-client.js';
import { withClusterOptions } from './kubernetes/cluster-access.js';

/** Adds RUN, --coordinator, --context and --json. */
export function withAdminOptions<T>(y: Argv<T>): Argv<T & AdminArguments & { json: boolean }> {
  return withClusterOptions(y)
    .positional('run', {
      type: 'string',
      demandOption: true,
      describe: 'A file:// or s3:// folder, the id of a local run, or k8s://NAMESPACE/NAME',
    })
    .option('coordinator', {
      type: 'string',
      requiresArg: true,
      describe: 'host:port of the coordinator, if not as it is written in the folder of the run',
    })
    .option('json', {
      type: 'boolean',
      default: false,
      describe: 'Print one JSON object',
    });
}
