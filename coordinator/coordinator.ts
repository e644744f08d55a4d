// The coordinator's loop: events in, decisions by the core, effects performed in order.

import type { CoordinatorMessage, WorkerMessage } from '../shared/control/messages.js';
import type { ExitCode } from '../shared/exit-codes.js';
import type { CheckpointManifest } from '../shared/checkpoint/manifest.js';
import { canonicalJson, specDigest } from '../shared/spec/compare.js';
import type { ObjectStore } from '../shared/store/store.js';
import {
  initialCoordinatorState,
  type CoordinatorConfig,
  type CoordinatorEffect,
  type CoordinatorEvent,
} from './core/state.js';
import {
  averagePaces,
  createPaceAverages,
  observePace,
  sharesIn,
  type PaceView,
} from './core/straggler.js';
import { transition } from './core/transition.js';
import { commitCheckpoint } from './edge/checkpoint-commit.js';
import { findCheckpoint } from './edge/checkpoint-search.js';
import { createEventBatch } from './edge/event-batch.js';
import type { Leading } from './edge/leading.js';
import type { Reporter } from './edge/reporter.js';
import type { RunPlan } from './edge/run-plan.js';
import type { Sessions } from './edge/sessions.js';

/** How often the core is asked whether something is overdue. */
const tickMs = 100;

/** Time that workers have to read the end and leave. */
const leaveMs = 2_000;

export interface CoordinatorOptions {
  readonly sessions: Sessions;
  readonly runUrl: string;
  readonly plan: RunPlan;
  readonly config: CoordinatorConfig;
  readonly store: ObjectStore;
  readonly reporter: Reporter;
  /** Aborted when the operator asks to stop; the reason is the signal's name. */
  readonly stop: AbortSignal;
  /** Another coordinator takes over from this one: on SIGTERM it leaves, and stops no run. */
  readonly isReplaceable: boolean;
}

/**
 * Leads a run until it ends or another coordinator takes over; resolves with the exit code.
 * `onLeading` is given the means to ask and to tell it.
 */
export async function leadRun(
  options: CoordinatorOptions,
  onLeading: (leading: Leading) => void,
): Promise<ExitCode> {
  const { plan, reporter, config, sessions } = options;
  const state = initialCoordinatorState(config, plan.savedStep, performance.now());
  let finish: (code: ExitCode) => void = () => undefined;
  const finished = new Promise<ExitCode>((resolve) => (finish = resolve));
  // One after the other, so that checkpoints are told and pruned in the order of their steps.
  let storing: Promise<void> = Promise.resolve();
  let worldSize = config.worldSize;

  const averages = createPaceAverages();
  const paces = (): PaceView[] => averagePaces(averages, sharesIn(state));
  const observe = (worker: string, message: WorkerMessage): void => {
    if (message.kind === 'status') observePace(averages, worker, message);
    reporter.message(message, paces);
  };
  const { soon, now: dispatch } = createEventBatch((events) => {
    // Whoever has left, or told the result, has told its last line.
    if (state.stage.kind === 'ended') return;
    for (const event of events) if (event.kind === 'message') observe(event.worker, event.message);
    for (const effect of transition(state, events, performance.now())) perform(effect);
    if ('world' in state.stage) worldSize = state.stage.world.members.length;
  });
  const send = (worker: string, message: CoordinatorMessage): void => {
    const session = state.workers.get(worker)?.session;
    if (session !== undefined) sessions.send(session, message);
  };
  const perform = (effect: CoordinatorEffect): void => {
    switch (effect.kind) {
      case 'send':
        return send(effect.worker, effect.message);
      case 'welcome':
        return send(effect.worker, welcomeOf(options));
      case 'dismiss':
        return sessions.dismiss(effect.session, effect.exitCode, effect.reason);
      case 'formed':
        return reporter.formed(effect);
      case 'lost':
        return reporter.lost(effect);
      case 'notice':
        return reporter.notice(effect.text);
      case 'target':
        return reporter.target(effect.workers);
      case 'findCheckpoint':
        return void (storing = storing.then(() => search(options)).then(dispatch));
      case 'storeManifest':
        return void (storing = storing.then(() => commit(options, effect)).then(dispatch));
      case 'end':
        sessions.broadcast({ kind: 'end', ...effect.ending });
        void reporter.ended(effect.ending, worldSize).then(() => finish(effect.ending.exitCode));
        return;
      case 'stepDown':
        reporter.superseded(effect.reason);
        return finish(effect.exitCode);
    }
  };

  reporter.started();
  sessions.open({
    onMessage: (session, worker, message) => soon({ kind: 'message', session, worker, message }),
    onClosed: (session, worker, reason) => soon({ kind: 'closed', session, worker, reason }),
  });
  onLeading({ state, paces, dispatch, send });
  const forgetStop = whenAborted(options.stop, (reason) => dispatch(farewell(options, reason)));
  const timer = setInterval(() => dispatch({ kind: 'tick' }), tickMs);
  const code = await finished;
  clearInterval(timer);
  forgetStop();
  await sessions.close(leaveMs);
  return code;
}

function farewell({ isReplaceable }: CoordinatorOptions, reason: string): CoordinatorEvent {
  return { kind: isReplaceable && reason === 'SIGTERM' ? 'leaveAsked' : 'stopAsked', reason };
}

/** Calls `listener` when asked to stop, also if that was before; gives a function to end it. */
function whenAborted(stop: AbortSignal, listener: (reason: string) => void): () => void {
  const onAbort = (): void => listener(String(stop.reason));
  stop.addEventListener('abort', onAbort);
  if (stop.aborted) onAbort();
  return () => stop.removeEventListener('abort', onAbort);
}

/** The record's text is the same from every coordinator, or workers would see another run. */
function welcomeOf({ plan, config, runUrl }: CoordinatorOptions): CoordinatorMessage {
  return { kind: 'welcome', term: config.term, runUrl, record: canonicalJson(plan.record) };
}

/** Looks for the state that a world without any starts from. */
async function search({ store, plan, reporter }: CoordinatorOptions): Promise<CoordinatorEvent> {
  try {
    const { step, isStored, notices } = await findCheckpoint(store, plan.record);
    for (const notice of notices) reporter.notice(notice);
    return { kind: 'checkpointFound', step, isStored };
  } catch (error) {
    return { kind: 'searchFailed', reason: error instanceof Error ? error.message : String(error) };
  }
}

/** Writes a manifest and tells of it; what came of it is an event for the core. */
function commit(
  { store, plan, reporter }: CoordinatorOptions,
  { snapshot, parts, worldSize, fingerprint }: CoordinatorEffect & { kind: 'storeManifest' },
): Promise<CoordinatorEvent> {
  const { spec, run } = plan.record;
  const { step, parametersSha256, updates, skippedInARow } = snapshot;
  const manifest: CheckpointManifest = {
    format: 'lockstep-checkpoint/1',
    ...{ run, step, spec, specSha256: specDigest(spec), fingerprint, worldSize, updates },
    ...(skippedInARow === 0 ? {} : { skippedInARow }),
    datasetIndexSha256: spec.dataset.indexSha256 ?? '',
    parametersSha256,
    parts: parts.map(({ name, file, bytes, sha256 }) => ({ name, file, bytes, sha256 })),
    createdAt: new Date().toISOString(),
  };
  return commitCheckpoint({
    ...{ store, manifest, keep: spec.checkpoint.keep },
    onCommitted: reporter.committed,
    onNotice: reporter.notice,
  });
}
