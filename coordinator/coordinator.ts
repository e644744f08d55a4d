// The coordinator's loop: events in, decisions by the core, effects performed in order.

import { specDigest } from '../shared/spec/digest.js';
import { commitManifest } from '../shared/checkpoint/commit.js';
import { pruneCheckpoints } from '../shared/checkpoint/list.js';
import type { CheckpointManifest } from '../shared/checkpoint/manifest.js';
import type { ObjectStore } from '../shared/store/store.js';
import type { ExitCode } from '../shared/exit-codes.js';
import {
  initialCoordinatorState,
  type CoordinatorConfig,
  type CoordinatorEffect,
  type CoordinatorEvent,
} from './core/state.js';
import { transition } from './core/transition.js';
import type { Reporter } from './edge/reporter.js';
import type { RunPlan } from './edge/run-plan.js';
import { createSessions } from './edge/sessions.js';

/** How often the core is asked whether something is overdue. */
const tickMs = 250;

/** Time that workers have to read the end and leave. */
const leaveMs = 2_000;

/** Interval in which workers say where they are. */
export const heartbeatMs = 500;

export interface CoordinatorOptions {
  readonly listen: string;
  readonly runUrl: string;
  readonly plan: RunPlan;
  readonly config: CoordinatorConfig;
  readonly store: ObjectStore;
  readonly reporter: Reporter;
  readonly onListening: (address: string) => void;
  /** Aborted when the operator asks to stop. */
  readonly stop: AbortSignal;
}

/** Runs a coordinator until its run ends; resolves with the exit code. */
export async function runCoordinator(options: CoordinatorOptions): Promise<ExitCode> {
  const { plan, reporter, config } = options;
  let state = initialCoordinatorState(config, plan.savedStep, performance.now());
  let finish: (code: ExitCode) => void = () => undefined;
  const finished = new Promise<ExitCode>((resolve) => (finish = resolve));
  // One after the other, so that checkpoints are told and pruned in the order of their steps.
  let manifests: Promise<void> = Promise.resolve();

  const dispatch = (event: CoordinatorEvent): void => {
    if (event.kind === 'message') reporter.message(event.message);
    const decision = transition(state, event, performance.now());
    state = decision.state;
    for (const effect of decision.effects) perform(effect);
  };
  const perform = (effect: CoordinatorEffect): void => {
    switch (effect.kind) {
      case 'send':
        return sessions.send(effect.worker, effect.message);
      case 'welcome': {
        const record = JSON.stringify(plan.record);
        const message = { kind: 'welcome', runUrl: options.runUrl, record, heartbeatMs } as const;
        return sessions.send(effect.worker, message);
      }
      case 'formed':
        return reporter.formed(effect.world);
      case 'notice':
        return reporter.notice(effect.text);
      case 'storeManifest':
        manifests = manifests.then(() => storeManifest(options, effect)).then(dispatch);
        return;
      case 'end': {
        sessions.broadcast({ kind: 'end', ...effect.ending });
        return void reporter
          .ended(effect.ending, config.worldSize)
          .then(() => finish(effect.ending.exitCode));
      }
    }
  };

  reporter.started();
  for (const notice of plan.notices) reporter.notice(notice);
  const sessions = await createSessions(options.listen, {
    onMessage: (worker, message) => dispatch({ kind: 'message', worker, message }),
    onClosed: (worker, reason) => dispatch({ kind: 'closed', worker, reason }),
  });
  options.onListening(sessions.address);
  const onStop = (): void => dispatch({ kind: 'stopAsked', reason: String(options.stop.reason) });
  options.stop.addEventListener('abort', onStop);
  // Asked while the run was planned: no event comes any more.
  if (options.stop.aborted) onStop();
  const timer = setInterval(() => dispatch({ kind: 'tick' }), tickMs);
  const code = await finished;
  clearInterval(timer);
  await sessions.close(leaveMs);
  return code;
}

/** Writes a manifest and tells of it; what came of it is an event for the core. */
async function storeManifest(
  options: CoordinatorOptions,
  effect: CoordinatorEffect & { kind: 'storeManifest' },
): Promise<CoordinatorEvent> {
  const { step, parametersSha256 } = effect.snapshot;
  try {
    await commitManifest(options.store, describeCheckpoint(options, effect));
    await options.reporter.committed(step, parametersSha256);
    await pruneCheckpoints(options.store, options.plan.record.spec.checkpoint.keep, step);
    return { kind: 'manifestStored', step };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { kind: 'manifestFailed', step, reason };
  }
}

function describeCheckpoint(
  { plan }: CoordinatorOptions,
  { snapshot, parts, worldSize, fingerprint }: CoordinatorEffect & { kind: 'storeManifest' },
): CheckpointManifest {
  const { spec, run } = plan.record;
  return {
    format: 'lockstep-checkpoint/1',
    run,
    step: snapshot.step,
    spec,
    specSha256: specDigest(spec),
    datasetIndexSha256: spec.dataset.indexSha256 ?? '',
    fingerprint,
    worldSize,
    updates: snapshot.updates,
    parametersSha256: snapshot.parametersSha256,
    parts: parts.map(({ name, file, bytes, sha256 }) => ({ name, file, bytes, sha256 })),
    createdAt: new Date().toISOString(),
  };
}
