// A kernel that the trace or an engine's lowering does not know.

/** Thrown by `trace` and by the lowerings; names the kernel and what it is missing. */
export class UnknownKernel extends Error {
  constructor(
    readonly kernel: string,
    /** "recording: add one under trace/record" */
    lacking: string,
    options?: ErrorOptions,
  ) {
    super(`kernel ${kernel} has no ${lacking}`, options);
    this.name = 'UnknownKernel';
  }
}
