// Leading a run: events in, decisions by the core, effects performed in order. What it runs on is
// given: production, the simulator and the bench all lead through this one.

import type { Clock } from '../shared/clock.js';
import type { WelcomeMessage } from '../shared/control/messages.js';
import {
  initialCoordinatorState,
  worldOf,
  type CoordinatorConfig,
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorState,
  type Ending,
} from './core/state.js';
import {
  averagePaces,
  createPaceAverages,
  isOfMember,
  observePace,
  sharesIn,
  type PaceView,
} from './core/straggler.js';
import { transition } from './core/transition.js';
import type { RunCheckpoints } from './edge/checkpoints.js';
import type { LedRun } from './edge/operator-service.js';
import type { Reporter } from './edge/reporter.js';
import { observeWorld } from './edge/run-status.js';
import type { Sessions } from './edge/sessions.js';
import { termLookMs } from './edge/terms.js';

/** How often the core is asked whether something is overdue. */
const tickMs = 100;

/** How often it is told how the workers are. */
const observeMs = 5_000;

export interface LeadingPorts {
  readonly clock: Clock;
  readonly config: CoordinatorConfig;
  /** Step of the newest whole checkpoint. */
  readonly savedStep: number | undefined;
  readonly runUrl: string;
  /** The run's record, as every worker gets it; its sum is in the configuration. */
  readonly record: string;
  readonly sessions: Pick<Sessions, 'send' | 'dismiss' | 'broadcast'>;
  readonly reporter: Omit<Reporter, 'started' | 'committed' | 'rate' | 'worldReason' | 'health'>;
  readonly checkpoints: RunCheckpoints;
  /** Number of the newest term; 0 where the store is away, which says nothing. */
  newestTerm(done: (term: number) => void): void;
  /** Who has this coordinator's own term by the store, if another one; a lost file is restored. */
  holdTerm(done: (holder: string | undefined) => void): void;
  /** The decisions, for a host that watches them. */
  readonly decide?: typeof transition;
  /** Called once, when there is nothing to lead any more. */
  readonly onOver: (ending: Ending) => void;
}

/** A coordinator that leads. */
export interface Leading extends LedRun {
  /** An event to be decided on with whatever else the network has brought. */
  soon(event: CoordinatorEvent): void;
  /** Ends its timers. */
  close(): void;
}

/** Leads from now on. */
export function lead(ports: LeadingPorts): Leading {
  const { clock, config, sessions, reporter, checkpoints, decide = transition } = ports;
  const { runUrl, record } = ports;
  const welcome = welcomer(config, runUrl, record);
  const state = initialCoordinatorState(config, ports.savedStep, clock.nowMs());
  const averages = createPaceAverages();
  // What is told again between two worlds belongs to the one before.
  const generationNow = (): number => (worldOf(state) ?? state.lastWorld)?.generation ?? 0;
  const paces = (): PaceView[] => averagePaces(averages, sharesIn(state));
  let worldSize = config.worldSize;
  let waiting: CoordinatorEvent[] = [];

  /** What follows from an event looks at every worker: events that come together go together. */
  const drain = (): void => {
    const events = waiting;
    waiting = [];
    // Who has left, or reported the result, has nothing more to say.
    if (events.length === 0 || state.stage.kind === 'ended') return;
    for (const event of events)
      if (isOfMember(state, event)) observePace(averages, event.worker, event.message);
    for (const effect of decide(state, events, clock.nowMs())) perform(effect);
    worldSize = worldOf(state)?.members.length ?? worldSize;
  };
  const soon = (event: CoordinatorEvent): void => {
    if (waiting.push(event) === 1) clock.soon(drain);
  };
  const dispatch = (event: CoordinatorEvent): void => {
    waiting.push(event);
    drain();
  };
  const send = sender(state, sessions);
  const inTurn = createTurns(dispatch);
  const perform = (effect: CoordinatorEffect): void => {
    switch (effect.kind) {
      case 'send':
        return send(effect.worker, effect.message);
      case 'welcome':
        return sessions.send(effect.session, welcome(effect.othersTrain));
      case 'dismiss':
        return sessions.dismiss(effect.session, effect.exitCode, effect.reason);
      case 'formed':
        return reporter.formed(effect);
      case 'lost':
        return reporter.lost(effect);
      case 'notice':
        return reporter.notice(effect.text);
      case 'report':
        return reporter.message(effect.message, paces, generationNow());
      case 'askForTerm':
        return terms.look();
      case 'target':
        return reporter.target(effect.workers);
      case 'findCheckpoint':
        return inTurn(ifLeading(ports, (done) => checkpoints.find(done)));
      case 'storeManifest':
        return inTurn(ifLeading(ports, (done) => checkpoints.commit(effect, done)));
      case 'noteBest':
        return checkpoints.noteBest(effect.best);
      case 'end':
        sessions.broadcast({ kind: 'end', ...effect.ending });
        return reporter.ended(effect.ending, worldSize, () => ports.onOver(effect.ending));
      case 'stepDown':
        reporter.superseded(effect.reason);
        return ports.onOver(effect);
    }
  };
  const terms = watchTerms(ports, dispatch);
  const timers = [
    clock.every(tickMs, () => dispatch({ kind: 'tick' })),
    clock.every(termLookMs, terms.look),
    clock.every(observeMs, () => observe(state, paces(), reporter)),
  ];
  return { state, paces, soon, dispatch, send, close: () => timers.forEach((end) => end()) };
}

function observe(
  state: CoordinatorState,
  paces: readonly PaceView[],
  reporter: LeadingPorts['reporter'],
): void {
  const observed = observeWorld(state, paces);
  if (observed !== undefined) reporter.observed(observed);
}

function welcomer(
  { term, run, recordSha256 }: CoordinatorConfig,
  runUrl: string,
  record: string,
): (othersTrain: boolean) => WelcomeMessage {
  const fields = { kind: 'welcome', term, run, recordSha256, runUrl, record } as const;
  return (othersTrain) => ({ ...fields, othersTrain });
}

/** Does nothing for a worker without a session. */
function sender({ workers }: CoordinatorState, sessions: LeadingPorts['sessions']): LedRun['send'] {
  return (worker, message) => {
    const session = workers.get(worker)?.session;
    if (session !== undefined) sessions.send(session, message);
  };
}

/** Looks who leads by the store's word, which the core hears; gives what it must not miss. */
function lookAtTerms(
  { clock, config, newestTerm, holdTerm }: LeadingPorts,
  done: (found: CoordinatorEvent | undefined, isLed: boolean) => void,
): void {
  const askedMs = clock.nowMs();
  newestTerm((term) => {
    const found = term > 0 ? ({ kind: 'newestTerm', term, askedMs } as const) : undefined;
    if (term > config.term) return done(found, false);
    holdTerm((holder) => {
      if (holder === undefined) done(found, true);
      else done({ kind: 'termTaken', holder }, false);
    });
  });
}

/** What only a leader may do to checkpoints is not done by one that has been followed. */
function ifLeading(ports: LeadingPorts, work: Work): Work {
  return (done) =>
    lookAtTerms(ports, (found, isLed) => {
      if (isLed || found === undefined) work(done);
      else done(found);
    });
}

/** Looks at the terms, one look at a time; a store that is away is silent. */
function watchTerms(
  ports: LeadingPorts,
  onFound: (found: CoordinatorEvent) => void,
): { look(): void } {
  let isLooking = false;
  const look = (): void => {
    if (isLooking) return;
    isLooking = true;
    lookAtTerms(ports, (found) => {
      isLooking = false;
      if (found !== undefined) onFound(found);
    });
  };
  return { look };
}

type Work = (done: (outcome: CoordinatorEvent) => void) => void;

/** One after the other, so that checkpoints are reported and pruned in the order of their steps. */
function createTurns(dispatch: (outcome: CoordinatorEvent) => void): (work: Work) => void {
  const turns: Work[] = [];
  const next = (): void =>
    turns[0]?.((outcome) => {
      // What follows from the outcome takes its place behind what waits already.
      dispatch(outcome);
      turns.shift();
      next();
    });
  return (work) => {
    if (turns.push(work) === 1) next();
  };
}
