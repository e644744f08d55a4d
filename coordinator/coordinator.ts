// The coordinator's loop: events in, decisions by the core, effects performed in order.

import type { CoordinatorMessage } from '../shared/control/messages.js';
import { exitCodes, type ExitCode } from '../shared/exit-codes.js';
import type { ObjectStore } from '../shared/store/store.js';
import {
  initialCoordinatorState,
  type CoordinatorConfig,
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorState,
} from './core/state.js';
import { transition } from './core/transition.js';
import { commitCheckpoint } from './edge/commit-checkpoint.js';
import type { Reporter } from './edge/reporter.js';
import { findCheckpoint, type RunPlan } from './edge/run-plan.js';
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
  /** Aborted when the operator asks to stop. */
  readonly stop: AbortSignal;
}

/** What other edges ask of a running coordinator. */
export interface Leading {
  readonly state: CoordinatorState;
  dispatch(event: CoordinatorEvent): void;
  send(worker: string, message: CoordinatorMessage): void;
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

  const dispatch = (event: CoordinatorEvent): void => {
    if (event.kind === 'message') reporter.message(event.message);
    for (const effect of transition(state, event, performance.now())) perform(effect);
    if ('world' in state.stage) worldSize = state.stage.world.members.length;
  };
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
        return reporter.formed(effect.world, effect.reason);
      case 'lost':
        return reporter.lost(effect);
      case 'notice':
        return reporter.notice(effect.text);
      case 'target':
        return reporter.target(effect.workers);
      case 'findCheckpoint':
        return void storing.then(() => search(options)).then(dispatch);
      case 'storeManifest':
        storing = storing.then(() => store(options, effect)).then(dispatch);
        return;
      case 'end':
        sessions.broadcast({ kind: 'end', ...effect.ending });
        return void reporter
          .ended(effect.ending, worldSize)
          .then(() => finish(effect.ending.exitCode));
      case 'stepDown':
        reporter.superseded(effect.reason);
        return finish(exitCodes.superseded);
    }
  };

  reporter.started();
  for (const notice of plan.notices) reporter.notice(notice);
  sessions.open({
    onMessage: (session, worker, message) =>
      dispatch({ kind: 'message', session, worker, message }),
    onClosed: (session, worker, reason) => dispatch({ kind: 'closed', session, worker, reason }),
  });
  onLeading({ state, dispatch, send });
  const onStop = (): void => dispatch({ kind: 'stopAsked', reason: String(options.stop.reason) });
  options.stop.addEventListener('abort', onStop);
  // Asked while the run was planned: no event comes any more.
  if (options.stop.aborted) onStop();
  const timer = setInterval(() => dispatch({ kind: 'tick' }), tickMs);
  const code = await finished;
  clearInterval(timer);
  options.stop.removeEventListener('abort', onStop);
  await sessions.close(leaveMs);
  return code;
}

function welcomeOf({ plan, config, runUrl }: CoordinatorOptions): CoordinatorMessage {
  return { kind: 'welcome', term: config.term, runUrl, record: JSON.stringify(plan.record) };
}

/** Looks for the state that a world without any starts from. */
async function search({ store, plan }: CoordinatorOptions): Promise<CoordinatorEvent> {
  const { step } = await findCheckpoint(store, plan.record);
  return { kind: 'checkpointFound', step: step ?? 0, isStored: step !== undefined };
}

/** Writes a manifest and tells of it; what came of it is an event for the core. */
async function store(
  options: CoordinatorOptions,
  effect: CoordinatorEffect & { kind: 'storeManifest' },
): Promise<CoordinatorEvent> {
  const { step } = effect.snapshot;
  try {
    await commitCheckpoint(options, effect);
    return { kind: 'manifestStored', step };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { kind: 'manifestFailed', step, reason };
  }
}
