// What state a run is in, from its two Jobs and from what its leader says. Pure.

import type { V1Job, V1Lease } from '@kubernetes/client-node';
import { exitCodes, type ExitCode } from '../../shared/exit-codes.js';
import { readLeaderStatus, type LeaderStatus } from '../../shared/kubernetes/leader-status.js';
import { failureOf, jobStage } from './run-state.js';

/** What is known of a run. */
export interface RunFacts {
  readonly coordinator: V1Job | undefined;
  readonly worker: V1Job | undefined;
  readonly lease: V1Lease | undefined;
}

export interface RunStage {
  readonly kind: 'queued' | 'starting' | 'running' | 'finished' | 'failed' | 'gone';
  readonly reason: string;
  readonly progress: LeaderStatus | undefined;
}

/** The state of a run. A leader's word counts only while its Job goes on. */
export function runStage({ coordinator, worker, lease }: RunFacts): RunStage {
  const progress = readLeaderStatus(lease?.metadata?.annotations);
  const [leads, works] = [jobStage(coordinator), jobStage(worker)];
  const be = (kind: RunStage['kind'], reason: string): RunStage => ({ kind, reason, progress });
  if (leads === 'complete') return be('finished', progress?.result?.reason ?? '');
  if (leads === 'failed') return be('failed', progress?.result?.reason || failureOf(coordinator));
  if (leads === 'missing' || leads === 'going') return be('gone', 'its coordinators are gone');
  if (works === 'failed') return be('failed', `the workers: ${failureOf(worker)}`);
  if (leads === 'suspended' || works === 'suspended') return be('queued', 'waits in its queue');
  if (progress === undefined || progress.result !== undefined)
    return be(
      'starting',
      `${worker?.status?.ready ?? 0} of ${worker?.spec?.completions ?? 0} workers are ready`,
    );
  return be('running', progress.stage);
}

/** The exit code of a command that waited for a run that failed. */
export function failedExitCode(reason: string): ExitCode {
  const [, code] = /exit code (\d+)/.exec(reason) ?? [];
  return Number(code) === exitCodes.configuration ? exitCodes.configuration : exitCodes.failed;
}
