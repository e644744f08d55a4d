// Which evaluation runs next. Training is faster than evaluation may be, so one request waits at
// most, and a newer one takes its place; only the run's last is never given up. Pure: who runs
// them is not known here.

/** What is being evaluated, and what waits for it to end. */
export interface EvaluationQueue<T> {
  readonly running: T | undefined;
  readonly waiting: T | undefined;
}

/** What the owner of the queue has to do: start one request, give one up. */
export interface QueueChange<T> {
  readonly queue: EvaluationQueue<T>;
  readonly start: T | undefined;
  readonly skipped: T | undefined;
}

/** A queue with nothing in it. */
export function emptyQueue<T>(): EvaluationQueue<T> {
  return { running: undefined, waiting: undefined };
}

/** A request has come. */
export function offer<T extends { readonly isLast: boolean }>(
  { running, waiting }: EvaluationQueue<T>,
  request: T,
): QueueChange<T> {
  if (running === undefined)
    return { queue: { running: request, waiting }, start: request, skipped: undefined };
  if (waiting?.isLast === true && !request.isLast)
    return { queue: { running, waiting }, start: undefined, skipped: request };
  return { queue: { running, waiting: request }, start: undefined, skipped: waiting };
}

/** The running request has ended, well or badly. */
export function finish<T>({ waiting }: EvaluationQueue<T>): QueueChange<T> {
  return { queue: { running: waiting, waiting: undefined }, start: waiting, skipped: undefined };
}
