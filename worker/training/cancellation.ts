// Giving up: whatever waits on behalf of a world stops waiting as soon as the world is given up.
// What was waited for may go on; nobody heeds it any more.

/** The work in progress was given up: no failure of this worker. */
export class Aborted extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'Aborted';
  }
}

export interface Cancellation {
  readonly isCancelled: boolean;
  /** Gives up; everything that waits, or will wait, rejects with `Aborted`. */
  cancel(reason: string): void;
  /** The result of `work`, unless it is given up before. */
  orAborted<T>(work: Promise<T>): Promise<T>;
  /** Lets other messages in; rejects with `Aborted` when one of them gave up. */
  letMessagesIn(): Promise<void>;
}

/** Creates a cancellation that is not cancelled. */
export function createCancellation(): Cancellation {
  const waiting = new Set<(error: Aborted) => void>();
  let aborted: Aborted | undefined;
  const orAborted = <T>(work: Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      waiting.add(reject);
      work.then(resolve, reject).finally(() => waiting.delete(reject));
      if (aborted !== undefined) reject(aborted);
    });
  return {
    get isCancelled() {
      return aborted !== undefined;
    },
    cancel: (reason) => {
      aborted ??= new Aborted(reason);
      for (const reject of waiting) reject(aborted);
    },
    orAborted,
    letMessagesIn: () => orAborted(new Promise((resolve) => setImmediate(resolve))),
  };
}
