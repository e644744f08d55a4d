// Waits for the end of a run in a cluster and shows how far it is: hears of its Jobs and its Lease,
// and ends when the coordinators' Job has ended. The run does not need anybody to wait for it.

import type { V1Job, V1Lease } from '@kubernetes/client-node';
import { createProgress, type Progress, type ProgressMode } from '../progress.js';
import type { ClusterClient } from './client/cluster-client.js';
import { watchObjects, type WatchTarget } from './client/watch.js';
import { labelSelector, objectNames, type ClusterRun } from './names.js';
import { runStage, type RunFacts, type RunStage } from './run-stage.js';

/** Calls `onStage` at each change; resolves with the last stage, or undefined once aborted. */
export async function followRun(
  client: ClusterClient,
  run: ClusterRun,
  onStage: (stage: RunStage) => void,
  signal: AbortSignal,
): Promise<RunStage | undefined> {
  const names = objectNames(run.name);
  const ended = new AbortController();
  const both = AbortSignal.any([ended.signal, signal]);
  let facts: Partial<RunFacts> = {};
  let last: RunStage | undefined;
  const learn = (more: Partial<RunFacts>): void => {
    facts = { ...facts, ...more };
    const { coordinator, worker, lease } = facts;
    if (both.aborted || !('coordinator' in facts) || !('lease' in facts)) return;
    last = runStage({ coordinator, worker, lease });
    onStage(last);
    if (['finished', 'failed', 'gone'].includes(last.kind)) ended.abort();
  };
  const watch = <T extends object>(
    target: WatchTarget,
    use: (found: ReadonlyMap<string, T>) => void,
  ) =>
    eachChange<T>(client, target, both, use).catch((error: unknown) => {
      ended.abort();
      throw error;
    });
  const { namespace, name } = run;
  const ofRun = { labelSelector: labelSelector(name) };
  await Promise.all([
    watch<V1Job>({ kind: 'Job', namespace, selection: ofRun }, (found) =>
      learn({ coordinator: found.get(names.coordinator), worker: found.get(names.worker) }),
    ),
    watch<V1Lease>(
      { kind: 'Lease', namespace, selection: { fieldSelector: `metadata.name=${names.lease}` } },
      (found) => learn({ lease: found.get(names.lease) }),
    ),
  ]);
  return signal.aborted && !ended.signal.aborted ? undefined : last;
}

async function eachChange<T extends object>(
  client: ClusterClient,
  target: WatchTarget,
  signal: AbortSignal,
  use: (found: ReadonlyMap<string, T>) => void,
): Promise<void> {
  for await (const found of watchObjects<T>(client, target, signal)) use(found);
}

/** Shows a run that is followed: lines while it starts, then progress with the time left. */
export function createFollowView(mode: ProgressMode, say: (line: string) => void) {
  let progress: Progress | undefined;
  let said = '';
  const sayOnce = (line: string): void => {
    if (line !== said && mode !== 'silent') (progress?.print ?? say)(line);
    said = line;
  };
  return {
    show(stage: RunStage): void {
      const { kind, reason, progress: told } = stage;
      if (kind !== 'running' || told === undefined)
        return kind === 'queued' || kind === 'starting' ? sayOnce(`${kind}: ${reason}`) : undefined;
      progress ??= createProgress({
        ...{ label: 'train', total: told.until, start: told.step, mode, print: say },
      });
      if (told.reason !== '') sayOnce(`${told.stage}: ${told.reason}`);
      progress.update(told.step, noteOf(told));
    },
    close(): void {
      progress?.close();
    },
  };
}

function noteOf(told: NonNullable<RunStage['progress']>): string {
  const { phase, imagesPerSecond, world, target } = told;
  return [phase, `${imagesPerSecond} images/s`, `${world} of ${target} workers`]
    .filter((part) => part !== '')
    .join(', ');
}
