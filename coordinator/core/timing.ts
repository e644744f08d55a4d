// How long the coordinator waits, and for what: every time limit of its decisions.

/** Every time limit of the coordinator's decisions, in milliseconds. */
export interface CoordinatorTiming {
  /** A worker whose session says nothing for so long can't be reached. */
  readonly heartbeatTimeoutMs: number;
  /** Longest wait for workers while there is no world. */
  readonly joinTimeoutMs: number;
  /** Before the first step, mistakes of all that were wanted end the run after so long. */
  readonly mistakeMs: number;
  /** Of a run that goes on: how long those that are ready wait for the rest. */
  readonly regatherMs: number;
  /** Outside of training, where no peer can be a witness: unreachable for so long is gone. */
  readonly goneTimeoutMs: number;
  /**
   * A member of a world that was taken over may need so long to find its new coordinator: an
   * address that does not answer (2 s), and a pause before and after it.
   */
  readonly returnMs: number;
  /** A newcomer that is heard and does not begin to enter its world for so long is none. */
  readonly enterMs: number;
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
  mistakeMs: 3_000,
  regatherMs: 5_000,
  goneTimeoutMs: 1_800,
  returnMs: 4_000,
  enterMs: 5_000,
  linkTimeoutMs: 2_500,
  obstacleMs: 2_000,
  benchMs: 30_000,
  batchMs: 300,
  resendMs: 1_000,
  finishedMs: 15_000,
  leaveMs: 2_000,
};
