// What the coordinator knows, and what can happen to it. Plain data, changed in place by
// transition.ts and its neighbours.

import type {
  CoordinatorMessage,
  PartStored,
  SnapshotReport,
  WorkerMessage,
  WorkerStatus,
} from '../../shared/control/messages.js';
import type { ExitCode } from '../../shared/exit-codes.js';
import type { Generation, Member, Step, World } from '../../shared/words.js';

/** Every time limit of the coordinator's decisions, in milliseconds. */
export interface CoordinatorTiming {
  /** A worker whose session says nothing for so long can't be reached. */
  readonly heartbeatTimeoutMs: number;
  /** Longest wait for workers while there is no world. */
  readonly joinTimeoutMs: number;
  /** Of a run that goes on: how long those that are ready wait for the rest. */
  readonly regatherMs: number;
  /** Outside of training, where no peer can be a witness: unreachable for so long is gone. */
  readonly goneTimeoutMs: number;
  /**
   * A member of a world that was taken over may need so long to find its new coordinator: an
   * address that does not answer (2 s), and a pause before and after it.
   */
  readonly returnMs: number;
  /** A worker that is heard and that a peer can't reach for so long: their link is cut. */
  readonly linkTimeoutMs: number;
  /** A worker that could not enter its world stays out for so long. */
  readonly obstacleMs: number;
  /** A worker with a cut link stays out for so long, when its link was cut before. */
  readonly benchMs: number;
  /** Newcomers are waited for so long, so that several cost one pause. */
  readonly batchMs: number;
  /** An order is repeated when it was not obeyed for so long. */
  readonly resendMs: number;
  /** Longest wait for workers of a run whose last step is checkpointed. */
  readonly finishedMs: number;
  /** A coordinator that has to leave looks for so long whether its workers have to as well. */
  readonly leaveMs: number;
}

/** What production runs with. */
export const defaultTiming: CoordinatorTiming = {
  heartbeatTimeoutMs: 1_500,
  joinTimeoutMs: 120_000,
  regatherMs: 5_000,
  goneTimeoutMs: 1_800,
  returnMs: 4_000,
  linkTimeoutMs: 2_500,
  obstacleMs: 2_000,
  benchMs: 30_000,
  batchMs: 300,
  resendMs: 1_000,
  finishedMs: 15_000,
  leaveMs: 2_000,
};

/** What does not change during the coordinator's life. */
export interface CoordinatorConfig {
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
  readonly timing: CoordinatorTiming;
}

/** A worker as the coordinator sees it; times on the coordinator's own clock. */
export interface WorkerView {
  readonly worker: string;
  readonly incarnation: number;
  address: string;
  readonly pid: number;
  readonly host: string;
  /** It obeys injected faults. */
  readonly allowsFaults: boolean;
  /** Its open session; undefined when it ended. */
  session: number | undefined;
  /** When it was heard last, or its session ended. */
  heardMs: number;
  status: WorkerStatus;
  /** When it could first have been part of a world; undefined while it can't. */
  readySinceMs: number | undefined;
  /** Left out of worlds until then. */
  benchedUntilMs: number;
  /** Its state is not what it should be; cleared when it has taken another one. */
  isDiverged: boolean;
  /** Why it can't go on, by its own word. */
  failure: string | undefined;
  /** There are more workers than wanted, and this one is to leave. */
  isDismissed: boolean;
  /** The order given last, and when: an order is repeated until it is obeyed. */
  order: { readonly key: string; readonly sentMs: number } | undefined;
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
  /** Workers the run is to have. */
  target: number;
  /** Worlds formed in this term. */
  formed: number;
  /** When the world of an earlier term was taken over; undefined without one. */
  adoptedMs: number | undefined;
  readonly pending: Map<Step, PendingCheckpoint>;
  /** Newest step whose manifest lies in the store; undefined before the first. */
  savedStep: Step | undefined;
  /**
   * Where a world without any state starts: the newest whole checkpoint's step or 0. Undefined
   * when it must be looked for.
   */
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
  /** Failures of workers, by the place of each; the places in the order of their first. */
  readonly failures: Map<string, FailuresAtPlace>;
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
  | { readonly kind: 'scaleAsked'; readonly workers: number }
  /** Another coordinator with a higher term leads the run; or the run's lease is lost. */
  | { readonly kind: 'superseded'; readonly term: number }
  /** This coordinator has to go, and another one may take over. */
  | { readonly kind: 'leaveAsked'; readonly reason: string }
  | { readonly kind: 'leaseLost'; readonly reason: string }
  | { readonly kind: 'tick' };

export type CoordinatorEffect =
  | { readonly kind: 'send'; readonly worker: string; readonly message: CoordinatorMessage }
  /** Answer a hello: the edge adds the run's record. */
  | { readonly kind: 'welcome'; readonly worker: string }
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
    }
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
    target: config.worldSize,
    formed: 0,
    adoptedMs: undefined,
    pending: new Map(),
    savedStep,
    coldStep: undefined,
    newestStep: savedStep ?? 0,
    fingerprint: config.savedFingerprint,
    cutLinks: new Map(),
    digests: new Map(),
    oddities: new Map(),
    furthestStep: savedStep ?? 0,
    failures: new Map(),
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

/** Orders worker ids by their text, numbers in them by value: worker-2 before worker-10. */
export function byName(a: string, b: string): number {
  const parts = (name: string): string[] => name.split(/(\d+)/);
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [x, y] = [left[i] ?? '', right[i] ?? ''];
    if (x === y) continue;
    const numeric = i % 2 === 1 ? Number(x) - Number(y) : 0;
    return numeric !== 0 ? numeric : x < y ? -1 : 1;
  }
  return left.length - right.length;
}

/** Something that the operator should read; decisions do not depend on it. */
export function notice(text: string): CoordinatorEffect {
  return { kind: 'notice', text };
}
