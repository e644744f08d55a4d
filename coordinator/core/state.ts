// What the coordinator knows, and what can happen to it. Plain data: the decisions are in
// transition.ts, and nothing here performs anything.

import type { Member, Step, World } from '../../shared/words.js';
import type { ExitCode } from '../../shared/exit-codes.js';
import type {
  CoordinatorMessage,
  PartStored,
  SnapshotReport,
  WorkerMessage,
} from '../../shared/control/messages.js';

/** What does not change during the coordinator's life. */
export interface CoordinatorConfig {
  /** Workers the world is formed of. */
  readonly worldSize: number;
  /** Step to start from: committed in a checkpoint, or 0. */
  readonly startStep: Step;
  /** Step after which all halt. */
  readonly until: Step;
  /** The spec's last step: only a run that got there has finished. */
  readonly lastStep: Step;
  /** A worker that says nothing for so long is lost. */
  readonly heartbeatTimeoutMs: number;
  /** Longest wait for all workers to join. */
  readonly joinTimeoutMs: number;
  /** Longest wait for survivors to halt, and again for them to store the state. */
  readonly salvageTimeoutMs: number;
}

/** A worker as the coordinator sees it; times on the coordinator's own clock. */
export interface WorkerView {
  readonly member: Omit<Member, 'rank'>;
  readonly fingerprint: string;
  readonly heardMs: number;
  /** Highest step it is known to have committed. */
  readonly step: Step;
  /** Set once it has loaded what the world needs. */
  readonly isPrepared: boolean;
  /** Set once it trains no further. */
  readonly isHalted: boolean;
}

/** Why the run ends early. */
export interface Ending {
  readonly exitCode: ExitCode;
  readonly reason: string;
}

export type Stage =
  | { readonly kind: 'gathering'; readonly deadlineMs: number }
  | { readonly kind: 'running'; readonly world: World }
  /** A worker was lost: the others give up the step in progress. */
  | { readonly kind: 'aborting'; readonly ending: Ending; readonly deadlineMs: number }
  /** The most advanced survivors store the state. */
  | {
      readonly kind: 'salvaging';
      readonly ending: Ending;
      readonly step: Step;
      readonly deadlineMs: number;
    }
  | { readonly kind: 'ended'; readonly ending: Ending };

/** A checkpoint of which not all parts are known yet. */
export interface PendingCheckpoint {
  readonly parts: ReadonlyMap<string, PartStored>;
  readonly snapshot: SnapshotReport | undefined;
}

export interface CoordinatorState {
  readonly config: CoordinatorConfig;
  readonly stage: Stage;
  /** Connected workers by id. */
  readonly workers: ReadonlyMap<string, WorkerView>;
  readonly pending: ReadonlyMap<Step, PendingCheckpoint>;
  /** Newest step whose manifest lies in the store; undefined before the first. */
  readonly savedStep: Step | undefined;
  /** A stop was asked for. */
  readonly stopping: boolean;
}

export type CoordinatorEvent =
  | { readonly kind: 'message'; readonly worker: string; readonly message: WorkerMessage }
  /** The worker's session ended. */
  | { readonly kind: 'closed'; readonly worker: string; readonly reason: string }
  | { readonly kind: 'manifestStored'; readonly step: Step }
  | { readonly kind: 'manifestFailed'; readonly step: Step; readonly reason: string }
  | { readonly kind: 'stopAsked'; readonly reason: string }
  | { readonly kind: 'tick' };

export type CoordinatorEffect =
  | { readonly kind: 'send'; readonly worker: string; readonly message: CoordinatorMessage }
  /** Answer a hello: the edge adds the run's record. */
  | { readonly kind: 'welcome'; readonly worker: string }
  | {
      readonly kind: 'storeManifest';
      readonly snapshot: SnapshotReport;
      readonly parts: readonly PartStored[];
      readonly worldSize: number;
      readonly fingerprint: string;
    }
  | { readonly kind: 'formed'; readonly world: World }
  /** Tell the log and the operator. */
  | { readonly kind: 'notice'; readonly text: string }
  | { readonly kind: 'end'; readonly ending: Ending };

/** The state before anything has happened. */
export function initialCoordinatorState(
  config: CoordinatorConfig,
  savedStep: Step | undefined,
  nowMs: number,
): CoordinatorState {
  return {
    config,
    stage: { kind: 'gathering', deadlineMs: nowMs + config.joinTimeoutMs },
    workers: new Map(),
    pending: new Map(),
    savedStep,
    stopping: false,
  };
}
