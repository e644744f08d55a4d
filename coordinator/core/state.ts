// What the coordinator knows and what can happen to it: plain data, which transition.ts changes.

import type {
  CoordinatorMessage,
  EvaluationReport,
  Hello,
  PartStored,
  SnapshotReport,
  StepReport,
  WorkerMessage,
  WorkerStatus,
} from '../../shared/control/messages.js';
import type { ExitCode } from '../../shared/exit-codes.js';
import type { Generation, Member, Step, World } from '../../shared/words.js';
import type { BestCheckpoint } from '../../shared/checkpoint/best.js';
import { createContest, type Contest, type ContestRules } from './best.js';
import type { CoordinatorTiming } from './timing.js';

/** What does not change during the coordinator's life. */
export interface CoordinatorConfig {
  /** The run's id, and the sum of its record: a worker of another run is refused. */
  readonly run: string;
  readonly recordSha256: string;
  /** Greater than that of every earlier coordinator of the run. */
  readonly term: number;
  /** Workers that the first world waits for. */
  readonly worldSize: number;
  /** Most workers that a world can have: the spec's batch.microShards. */
  readonly microShards: number;
  /** Step after which all halt. */
  readonly until: Step;
  /** The spec's last step: only a run that got there has finished. */
  readonly lastStep: Step;
  /** The spec lets workers compute with different things. */
  readonly allowsMixed?: boolean | undefined;
  /** What the newest whole checkpoint was computed with; undefined without one. */
  readonly savedFingerprint?: string | undefined;
  /** The spec keeps the best checkpoint by a metric. */
  readonly best?: ContestRules | undefined;
  readonly timing: CoordinatorTiming;
}

/** A worker as the coordinator sees it; times on the coordinator's own clock. */
export interface WorkerView {
  readonly worker: string;
  readonly incarnation: number;
  address: string;
  lanes?: Member['lanes'];
  socket?: Member['socket'];
  readonly pid: number;
  readonly host: string;
  /** It obeys injected faults. */
  readonly allowsFaults: boolean;
  /** Its open session; undefined when it ended. */
  session: number | undefined;
  /** When it was heard last, or its session ended. */
  heardMs: number;
  /** What it says of itself, as far as it is believed: see roles.ts. */
  status: WorkerStatus;
  /** It was in a world of this run: it can have a state. */
  hasBeenMember: boolean;
  /** It had rank 0 in a world, or the first share of a last state: it reports for all. */
  hasBeenFirst: boolean;
  /** It has committed a step: its machine has what the run needs. */
  hasTrained: boolean;
  /** When it could first have been part of a world; undefined while it can't. */
  readySinceMs: number | undefined;
  /** Left out of worlds until then. */
  benchedUntilMs: number;
  /** Its state is not what it should be; cleared when it has taken another one. */
  isDiverged: boolean;
  /** Why it can't go on, by its own word. */
  failure: string | undefined;
  /** The same, if it is a mistake: starting it again is of no use. */
  mistake: string | undefined;
  /** There are more workers than wanted, and this one is to leave. */
  isDismissed: boolean;
  /** The order given last, and when: an order is repeated until it is obeyed. */
  order: { readonly key: string; readonly sentMs: number } | undefined;
}

/** A hello that can't be answered yet. */
export interface WaitingHello {
  readonly session: number;
  readonly hello: Hello;
  sinceMs: number;
}

/** Why the run ends. */
export interface Ending {
  readonly exitCode: ExitCode;
  readonly reason: string;
}

/** What failed at one place: a step that the run does not come beyond, or a worker's data. */
export interface FailuresAtPlace {
  count: number;
  /** Each of them was a sample that is not what the index says. */
  areOfData: boolean;
}

/** A world that was formed. */
export interface FormedWorld extends World {
  /** The step it starts from. */
  readonly step: Step;
  readonly until: Step;
}

export type CoordinatorStage =
  /** There is no world: workers are waited for. */
  | {
      readonly kind: 'gathering';
      readonly sinceMs: number;
      /** After so long a smaller world than wanted is formed. */
      patienceMs: number;
      /** Why there is no world any more; empty before the first. */
      readonly reason: string;
      /** The newest whole checkpoint is being looked for. */
      isSearching: boolean;
    }
  /** The members enter, connect and train. */
  | {
      readonly kind: 'running';
      readonly world: FormedWorld;
      readonly sinceMs: number;
      /** Since when peers say that the link between two workers that are heard is cut. */
      cutSinceMs: number | undefined;
    }
  /** The members halt, by a vote (after a step) or an abort (at once). */
  | {
      readonly kind: 'halting';
      readonly world: FormedWorld;
      readonly mode: 'vote' | 'abort';
      readonly reason: string;
      readonly sinceMs: number;
      /** Members that are not waited for. */
      readonly lost: readonly string[];
    }
  /** Those with the last state store it. */
  | {
      readonly kind: 'finishing';
      readonly world: FormedWorld;
      readonly step: Step;
      /** Workers that have a share, in the order of the shares. */
      readonly savers: readonly string[];
      /** How the run ends then; undefined when it only loses its last workers for now. */
      readonly ending: Ending | undefined;
    }
  | { readonly kind: 'ended'; readonly ending: Ending };

export type StageOf<K extends CoordinatorStage['kind']> = CoordinatorStage & { readonly kind: K };

/** A checkpoint of which not all parts are known yet. */
export interface PendingCheckpoint {
  readonly parts: Map<string, PartStored>;
  snapshot: SnapshotReport | undefined;
  /** Digests of the whole state at this step, by worker. */
  readonly digests: Map<string, string>;
  /** The world whose members sent them. */
  generation: Generation;
  /** The manifest is being written. */
  isStoring: boolean;
}

export interface CoordinatorState {
  readonly config: CoordinatorConfig;
  stage: CoordinatorStage;
  /** Workers by id, connected or not. */
  readonly workers: Map<string, WorkerView>;
  /** Hellos that wait, by session: for the holder of their id, or for the store's word. */
  readonly waiting: Map<number, WaitingHello>;
  /** The present world or, between two, the one before; undefined before the first. */
  lastWorld: FormedWorld | undefined;
  /** Some world has committed a step, in this term or an earlier one. */
  hasTrained: boolean;
  /** Workers the run is to have. */
  target: number;
  /** Worlds formed in this term. */
  formed: number;
  /** Numbers of worlds in this term that may be another coordinator's: see admission.ts. */
  passedOver: number;
  /** When the world of an earlier term was taken over; undefined without one. */
  adoptedMs: number | undefined;
  readonly pending: Map<Step, PendingCheckpoint>;
  /** Which checkpoint is the best one; undefined where the spec does not ask. */
  readonly contest: Contest | undefined;
  /** Newest step whose manifest lies in the store; undefined before the first. */
  savedStep: Step | undefined;
  /** Where a world without any state starts: a whole checkpoint's step or 0; undefined: to find. */
  coldStep: Step | undefined;
  /** Highest step known to be committed. */
  newestStep: Step;
  /** What the newest world or checkpoint was computed with; undefined before the first. */
  fingerprint: string | undefined;
  /** Pairs of workers ("a b") whose link was cut, and when last. */
  readonly cutLinks: Map<string, number>;
  /** Digests of the present world's steps, by step and worker. */
  readonly digests: Map<Step, Map<string, string>>;
  /** How often each worker's state has differed from the others'. */
  readonly oddities: Map<string, number>;
  /** Highest step that was ever committed: what is done again after a setback is no progress. */
  furthestStep: Step;
  /** Failures, by the place of each; the places in the order of their first. */
  readonly failures: Map<string, FailuresAtPlace>;
  /** How the run ends unless somebody is still there to form its first world. */
  hopeless: Ending | undefined;
  /** When the store was asked for a later term because a worker has heard of one. */
  askedMs: number;
  /** Workers that were refused, and since when they are counted: a crowd is not told one by one. */
  readonly refusals: { sinceMs: number; count: number };
  /** A stop was asked for: the reason. */
  stopReason: string | undefined;
  /** This coordinator has to leave: why, and since when. */
  leaving: { readonly reason: string; readonly sinceMs: number } | undefined;
  /** The run is to end this way as soon as the state is stored. */
  ending: Ending | undefined;
  /** The time of the events that are decided on. */
  nowMs: number;
  /** When the core was asked last: a coordinator that was blocked has not heard silence. */
  tickedMs: number;
}

export type CoordinatorEvent =
  /** `session` numbers the streams; the first message of one is a hello. */
  | {
      readonly kind: 'message';
      readonly session: number;
      readonly worker: string;
      readonly message: WorkerMessage;
    }
  | {
      readonly kind: 'closed';
      readonly session: number;
      readonly worker: string;
      readonly reason: string;
    }
  /** The answer to findCheckpoint: its step, or 0 for none, and what was passed over. */
  | { readonly kind: 'checkpointFound'; readonly step: Step; readonly isStored: boolean }
  | { readonly kind: 'searchFailed'; readonly reason: string }
  | { readonly kind: 'manifestStored'; readonly step: Step }
  | { readonly kind: 'manifestFailed'; readonly step: Step; readonly reason: string }
  | { readonly kind: 'stopAsked'; readonly reason: string }
  /** The run can't go on, for a reason that no worker says itself. */
  | { readonly kind: 'failAsked'; readonly ending: Ending }
  | { readonly kind: 'scaleAsked'; readonly workers: number }
  /** The store's newest term, as it was asked at a time: a higher one leads the run. */
  | { readonly kind: 'newestTerm'; readonly term: number; readonly askedMs: number }
  /** The file of this coordinator's own term names another one. */
  | { readonly kind: 'termTaken'; readonly holder: string }
  /** This coordinator has to go, and another one may take over. */
  | { readonly kind: 'leaveAsked'; readonly reason: string }
  | { readonly kind: 'leaseLost'; readonly reason: string }
  | { readonly kind: 'tick' };

export type CoordinatorEffect =
  | { readonly kind: 'send'; readonly worker: string; readonly message: CoordinatorMessage }
  /** Answer a hello: the edge adds the run's record. */
  | {
      readonly kind: 'welcome';
      readonly worker: string;
      readonly session: number;
      readonly othersTrain: boolean;
    }
  /** A worker has heard of a later term: ask the store, whose answer is `newestTerm`. */
  | { readonly kind: 'askForTerm' }
  /** For all who watch the run: from a worker that speaks for its world. */
  | { readonly kind: 'report'; readonly message: StepReport | EvaluationReport }
  /** End this session with the reason: its hello is refused, or its worker was replaced. */
  | {
      readonly kind: 'dismiss';
      readonly session: number;
      readonly exitCode: ExitCode;
      readonly reason: string;
    }
  /** Look for the newest whole checkpoint and delete what is torn above it. */
  | { readonly kind: 'findCheckpoint' }
  | {
      readonly kind: 'storeManifest';
      readonly snapshot: SnapshotReport;
      readonly parts: readonly PartStored[];
      readonly worldSize: number;
      readonly fingerprint: string;
      /** Steps whose checkpoints stay besides the newest. */
      readonly stepsToKeep: readonly Step[];
    }
  /** Note which checkpoint is the best one. */
  | { readonly kind: 'noteBest'; readonly best: BestCheckpoint }
  | {
      readonly kind: 'formed';
      readonly world: FormedWorld;
      readonly fingerprint: string;
      readonly reason: string;
    }
  /** A worker is taken out of the world, and since when it had not been heard. */
  | {
      readonly kind: 'lost';
      readonly worker: string;
      readonly reason: string;
      readonly generation: Generation;
      readonly silentMs: number;
    }
  | { readonly kind: 'target'; readonly workers: number }
  /** For the log and the operator. */
  | { readonly kind: 'notice'; readonly text: string }
  /** The run is over: for all workers, then for the operator. */
  | { readonly kind: 'end'; readonly ending: Ending }
  /** Leave without touching the run: another coordinator leads it, or may soon. */
  | { readonly kind: 'stepDown'; readonly exitCode: ExitCode; readonly reason: string };

/** The state before anything has happened; `savedStep` is the newest whole checkpoint's. */
export function initialCoordinatorState(
  config: CoordinatorConfig,
  savedStep: Step | undefined,
  nowMs: number,
): CoordinatorState {
  return {
    config,
    stage: {
      kind: 'gathering',
      sinceMs: nowMs,
      // A coordinator that takes over: the run has been going on with the workers it had.
      patienceMs: config.term > 1 ? config.timing.regatherMs : config.timing.joinTimeoutMs,
      reason: '',
      isSearching: false,
    },
    workers: new Map(),
    waiting: new Map(),
    lastWorld: undefined,
    hasTrained: false,
    target: config.worldSize,
    formed: 0,
    passedOver: 0,
    adoptedMs: undefined,
    pending: new Map(),
    contest: config.best && createContest(config.best, savedStep),
    savedStep,
    coldStep: undefined,
    newestStep: savedStep ?? 0,
    fingerprint: config.savedFingerprint,
    cutLinks: new Map(),
    digests: new Map(),
    oddities: new Map(),
    furthestStep: savedStep ?? 0,
    failures: new Map(),
    hopeless: undefined,
    askedMs: -Infinity,
    refusals: { sinceMs: -Infinity, count: 0 },
    stopReason: undefined,
    leaving: undefined,
    ending: undefined,
    nowMs,
    tickedMs: nowMs,
  };
}

/** The present world, if there is one. */
export function worldOf({ stage }: CoordinatorState): FormedWorld | undefined {
  return 'world' in stage ? stage.world : undefined;
}

/** All workers, in the order in which they came. */
export function workersOf(state: CoordinatorState): WorkerView[] {
  return [...state.workers.values()];
}

/** The view of a member: of this very process, not of one that came after it under its name. */
export function viewOf(state: CoordinatorState, member: Member): WorkerView | undefined {
  const view = state.workers.get(member.worker);
  return view?.incarnation === member.incarnation ? view : undefined;
}

/** Whether the worker is to leave: it was asked to, or there are more than wanted. */
export function isLeaving({ status, isDismissed }: WorkerView): boolean {
  return status.isLeaving || isDismissed;
}

/** Whether the worker does nothing that a new world would have to interrupt. */
export function isFree({ status }: WorkerView): boolean {
  return ['ready', 'halted', 'finished'].includes(status.stage);
}

/** Whether the worker has a state that is to be trusted. */
export function hasSoundState({ status, isDiverged }: WorkerView): boolean {
  return status.hasState && !isDiverged;
}

/** Something that the operator should read; decisions do not depend on it. */
export function notice(text: string): CoordinatorEffect {
  return { kind: 'notice', text };
}
