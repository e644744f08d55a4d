// How a run in a cluster ended: what its leader wrote last on the Lease, or else the last line of
// the log of a coordinator that ended well.

import type { V1Pod } from '@kubernetes/client-node';
import type { ClusterClient } from './client/cluster-client.js';
import { podLog } from './client/pod-log.js';
import { labelSelector, type ClusterRun } from './names.js';
import type { RunStage } from './run-stage.js';

export interface ClusterResult {
  readonly step: number;
  /** Of the parameters; empty where nobody has said it. */
  readonly sha256: string;
}

/** The result of a run that has finished. */
export async function resultOf(
  client: ClusterClient,
  run: ClusterRun,
  { progress }: RunStage,
): Promise<ClusterResult> {
  const told = progress?.result;
  if (told?.kind === 'finished') return { step: told.step, sha256: told.sha256 };
  const selection = { labelSelector: labelSelector(run.name, 'coordinator') };
  const { items } = await client.list<V1Pod>('Pod', run.namespace, selection);
  for (const pod of items.filter(({ status }) => status?.phase === 'Succeeded')) {
    const found = await lastResult(client, run.namespace, pod.metadata?.name ?? '');
    if (found !== undefined) return found;
  }
  return { step: progress?.step ?? 0, sha256: '' };
}

async function lastResult(
  client: ClusterClient,
  namespace: string,
  pod: string,
): Promise<ClusterResult | undefined> {
  let found: ClusterResult | undefined;
  const request = { namespace, pod, container: 'coordinator', follow: false, tail: 20 };
  for await (const line of podLog(client, request)) found = parseResult(line) ?? found;
  return found;
}

/** The coordinator's last line under --json; undefined for any other. */
export function parseResult(line: string): ClusterResult | undefined {
  try {
    const { kind, step, sha256 } = JSON.parse(line) as Readonly<Record<string, unknown>>;
    if (kind !== 'finished') return undefined;
    return { step: Number(step), sha256: String(sha256) };
  } catch {
    return undefined;
  }
}
