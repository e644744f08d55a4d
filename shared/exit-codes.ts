// The exit codes of every `lockstep` process: an interface that scripts and the
// Kubernetes manifests' failure policy read. Change a number and you change it for them.

export const exitCodes = {
  /** The spec's last step was reached and checkpointed (or the command did what it was asked). */
  ok: 0,
  /** Something failed that is not the operator's mistake; the message says what. */
  failed: 1,
  /** The run stopped early, on request, with a checkpoint: resume it. */
  stopped: 3,
  /** All workers were lost and none came back; the run can be resumed from its checkpoint. */
  workerLost: 4,
  /** A worker or a coordinator left on purpose (SIGTERM, scale-down); the run goes on without. */
  drained: 5,
  /** A coordinator stepped down, because another one with a higher term has taken over. */
  superseded: 6,
  /**
   * The run did not take this worker, and goes on without it: its id is another process's, it is
   * of another run, version or engine, or it lacks what the others train with.
   */
  refused: 7,
  /** It was asked to stop before it did anything, or had a checkpoint to go on with. */
  interrupted: 130,
  /** Nobody reads its output any more; 128 and the number of SIGPIPE, as with other programs. */
  outputClosed: 141,
  /** It was ended by SIGTERM before it listened for it: 128 and the number of that signal. */
  terminated: 143,
  /** The operator's mistake: bad spec, flags, data. Trying again unchanged is useless. */
  configuration: 78,
} as const;

/** Whether a run ended early because that was asked for, with a checkpoint or before the first. */
export function isStop(code: number | null): boolean {
  return code === exitCodes.stopped || code === exitCodes.interrupted;
}

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];
