// Pictures of a run in a cluster: its leading coordinator is asked, through a way that the API
// server opens to its pod; another way leads a browser to its page. When another coordinator leads,
// the ways are opened again, and the page keeps its address.

import type { KubeConfig } from '@kubernetes/client-node';
import { setTimeout as delay } from 'node:timers/promises';
import { AdminError } from '../../shared/control/admin.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { loadCluster } from '../../shared/kubernetes/api-server.js';
import { messageOf } from '../../shared/problems.js';
import type { RunPicture } from '../../watch/history/picture.js';
import { CommandFailed } from '../failure.js';
import {
  forwardPort,
  type ForwardedPort,
  type PodPort,
} from '../kubernetes/client/port-forward.js';
import { withCluster, type ClusterArguments } from '../kubernetes/cluster-access.js';
import { findLeaderPod } from '../kubernetes/leader-pod.js';
import { parseClusterRun, ports } from '../kubernetes/names.js';
import { coordinatorPictures, type Watched } from './pictures.js';

export interface ClusterWatch extends Pick<Watched, 'signal' | 'onNotice'> {
  /** A browser may look as well. */
  readonly hasPage: boolean;
  /** How long it is waited for a coordinator that leads. */
  readonly patienceMs?: number;
  /** How often it is looked. */
  readonly everyMs?: number;
}

/**
 * Throws a CommandFailed when no coordinator has led for a while, and at once what does not mend:
 * the cluster does not allow it, or the coordinator refuses.
 */
export async function* clusterPictures(
  args: ClusterArguments & { readonly run: string },
  { signal, onNotice, hasPage, patienceMs = 60_000, everyMs = 2_000 }: ClusterWatch,
): AsyncGenerator<RunPicture> {
  const run = parseClusterRun(args.run);
  const config = loadCluster({ context: args.context });
  const openPage = createPageWay(config, onNotice);
  const look = async function* (pod: string): AsyncGenerator<RunPicture> {
    const target = { namespace: run.namespace, pod };
    const way = await forwardPort(config, { ...target, port: ports.control });
    let page: ForwardedPort | undefined;
    try {
      if (hasPage) page = await openPage({ ...target, port: ports.page });
      yield* coordinatorPictures(`127.0.0.1:${way.localPort}`, { run: run.name, signal });
    } finally {
      await Promise.all([way.close(), page?.close()]);
    }
  };
  let heardMs = performance.now();
  let isAway = false;
  while (!signal.aborted) {
    let why = 'none leads';
    try {
      const pod = await withCluster(args, (client) => findLeaderPod(client, run));
      if (pod !== undefined)
        for await (const picture of look(pod)) {
          [heardMs, isAway] = [performance.now(), false];
          yield picture;
        }
    } catch (error) {
      if (isFinal(error)) throw error;
      why = messageOf(error);
    }
    if (signal.aborted) return;
    if (performance.now() - heardMs > patienceMs) throw noLeader(args.run, why);
    if (!isAway) onNotice(`no coordinator of ${args.run} answers (${why}); waiting for one`);
    isAway = true;
    await delay(everyMs, undefined, { signal }).catch(() => undefined);
  }
}

/** What another try does not mend. */
function isFinal(error: unknown): boolean {
  if (error instanceof AdminError) return error.isRefusal;
  return !(error instanceof CommandFailed) || error.exitCode === exitCodes.configuration;
}

/** Opens ways to pages, one at a time, at the same address as long as nobody has taken it. */
function createPageWay(
  config: KubeConfig,
  onNotice: (text: string) => void,
): (target: PodPort) => Promise<ForwardedPort> {
  let localPort = 0;
  return async (target) => {
    const page = await forwardPort(config, target, { localPort }).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      return forwardPort(config, target);
    });
    if (page.localPort !== localPort) onNotice(`watch it at http://127.0.0.1:${page.localPort}/`);
    localPort = page.localPort;
    return page;
  };
}

function noLeader(run: string, why: string): CommandFailed {
  return new CommandFailed(
    `no coordinator of ${run} answers: ${why}`,
    exitCodes.failed,
    `See what its pods do: lockstep status ${run}`,
  );
}
