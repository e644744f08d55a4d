// Pictures of a run in a cluster: its leading coordinator is asked, through a way that the API
// server opens to its pod; another way leads a browser to its page. When another coordinator leads,
// the ways are opened again, and the page keeps its address.

import { setTimeout as delay } from 'node:timers/promises';
import { AdminError } from '../../shared/control/admin.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { loadCluster } from '../../shared/kubernetes/api-server.js';
import type { RunPicture } from '../../watch/history/picture.js';
import { CommandFailed } from '../failure.js';
import { forwardPort, type ForwardedPort } from '../kubernetes/client/port-forward.js';
import { withCluster, type ClusterArguments } from '../kubernetes/cluster-access.js';
import { findLeaderPod } from '../kubernetes/leader-pod.js';
import { parseClusterRun, ports } from '../kubernetes/names.js';
import { coordinatorPictures, type Watched } from './pictures.js';

/** How long it is waited for a coordinator that leads, and how often it is looked. */
const patienceMs = 60_000;
const everyMs = 2_000;

/** Throws a CommandFailed when no coordinator has led for a while. */
export async function* clusterPictures(
  args: ClusterArguments & { readonly run: string },
  { signal, onNotice }: Pick<Watched, 'signal' | 'onNotice'>,
): AsyncGenerator<RunPicture> {
  const run = parseClusterRun(args.run);
  const config = loadCluster({ context: args.context });
  let heardMs = performance.now();
  let isAway = false;
  let pagePort = 0;
  while (!signal.aborted) {
    const pod = await withCluster(args, (client) => findLeaderPod(client, run));
    if (pod !== undefined) {
      const target = { namespace: run.namespace, pod };
      const way = await forwardPort(config, { ...target, port: ports.control });
      let page: ForwardedPort | undefined;
      try {
        page = await forwardPort(config, { ...target, port: ports.page }, { localPort: pagePort });
        if (pagePort === 0) onNotice(`watch it at http://127.0.0.1:${page.localPort}/`);
        pagePort = page.localPort;
        const address = `127.0.0.1:${way.localPort}`;
        for await (const picture of coordinatorPictures(address, { run: run.name, signal })) {
          [heardMs, isAway] = [performance.now(), false];
          yield picture;
        }
      } catch (error) {
        if (!(error instanceof AdminError) || error.isRefusal) throw error;
      } finally {
        await Promise.all([way.close(), page?.close()]);
      }
    }
    if (signal.aborted) return;
    if (performance.now() - heardMs > patienceMs) throw noLeader(args.run);
    if (!isAway) onNotice(`no coordinator of ${args.run} answers; waiting for one that leads`);
    isAway = true;
    await delay(everyMs, undefined, { signal }).catch(() => undefined);
  }
}

function noLeader(run: string): CommandFailed {
  return new CommandFailed(
    `no coordinator of ${run} answers`,
    exitCodes.failed,
    `See what its pods do: lockstep status ${run}`,
  );
}
