// How a command reaches a cluster, and what a person reads when the cluster refuses.

import type { Argv } from 'yargs';
import { exitCodes } from '../../shared/exit-codes.js';
import { ClusterError } from '../../shared/kubernetes/refusal.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import { CommandFailed } from '../failure.js';
import { wordOption } from '../options.js';
import { printNote } from '../output.js';
import type { ClusterClient } from './client/cluster-client.js';

export interface ClusterArguments {
  readonly context?: string | undefined;
}

/** Adds --context. */
export function withClusterOptions<T>(y: Argv<T>): Argv<T & ClusterArguments> {
  return y.option(
    'context',
    wordOption('Context of the kubeconfig, for a run in a cluster (default: the current one)'),
  );
}

/** Calls `use` with a client of the cluster; its refusals become messages for a person. */
export async function withCluster<T>(
  { context }: ClusterArguments,
  use: (client: ClusterClient) => Promise<T>,
): Promise<T> {
  // The library is large, and commands that need no cluster start without it.
  const { openCluster } = await import('./client/cluster-client.js');
  const client = openCluster({ context }, { onWait: printNote });
  try {
    return await use(client);
  } catch (error) {
    throw explain(error);
  }
}

/** The error to show: a refusal as a list of what is wrong. */
export function explain(error: unknown): unknown {
  if (!(error instanceof ClusterError)) return error;
  const { status, reason, message, causes } = error;
  if (status === 401 || status === 403)
    return new CommandFailed(
      `the cluster does not allow it: ${message}`,
      exitCodes.configuration,
      'docs/kubernetes.md lists the rights that are needed; --context chooses another account.',
    );
  if (status === 409 && causes.length > 0)
    return new OperatorError(
      'somebody else has changed an object of the run',
      causes.map(conflict),
    );
  if (status === 422 || status === 400 || status === 404)
    return new OperatorError(message, causes.map(invalid));
  return new CommandFailed(message, exitCodes.failed, reason === '' ? undefined : `(${reason})`);
}

function conflict({ field, message }: ClusterError['causes'][number]): Problem {
  const hint = 'undo the change, or cancel the run and launch it again';
  return { key: field, given: message, allowed: 'what lockstep launch has set', hint };
}

function invalid({ field, message }: ClusterError['causes'][number]): Problem {
  return { key: field || 'the object', given: message, allowed: 'what the API server accepts' };
}
