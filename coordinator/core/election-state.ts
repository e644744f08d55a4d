// What a contender in the election of a leader knows, what can happen to it and what it may want;
// and the time limits that make the election safe. Decided is in election.ts.

/** The time limits of an election, in milliseconds, each on the contender's own clock. */
export interface ElectionTiming {
  /** A lease that was not seen to change for so long may be taken. */
  readonly leaseMs: number;
  /** A holder whose last good renewal was sent so long ago has stopped. */
  readonly renewDeadlineMs: number;
  /** How often the holder renews, and the others look. */
  readonly retryMs: number;
  /** Longest wait for an answer. */
  readonly requestMs: number;
}

/**
 * What production runs with. A holder acts for up to `renewDeadlineMs` after it sent a renewal; the
 * others wait `leaseMs` from when they saw that renewal, which is later. So no two hold the lease
 * as long as no clock runs `leaseMs / renewDeadlineMs` = 1.5 times as fast as another: each may be
 * wrong by a fifth. Offsets between clocks don't matter.
 */
export const defaultElectionTiming: ElectionTiming = {
  leaseMs: 15_000,
  renewDeadlineMs: 10_000,
  retryMs: 2_000,
  requestMs: 1_500,
};

/** The lease as it was seen. */
export interface SeenLease {
  /** Changes with every write of the object; a write names the one it replaces. */
  readonly version: string;
  /** Who holds it; empty for nobody. */
  readonly holder: string;
  /** How often it has changed hands. */
  readonly transitions: number;
  /** Differs from one renewal to the next; compared, never interpreted. */
  readonly stamp: string;
  /** For how long the holder claims it after each renewal. */
  readonly leaseMs: number;
}

export type ElectionEvent =
  /** Time has passed; see `nextWakeMs`. */
  | { readonly kind: 'tick' }
  /** The answer to `read`; undefined: there is no such object. */
  | { readonly kind: 'found'; readonly lease: SeenLease | undefined }
  /** The answer to `write`: it was done. */
  | { readonly kind: 'written'; readonly lease: SeenLease }
  /** The answer to `write`: somebody else has written, created or deleted the object before. */
  | { readonly kind: 'refused' }
  /** There was no useful answer; what was asked for may have been done. */
  | {
      readonly kind: 'failed';
      readonly reason: string;
      /** What the server said, as a number; undefined when it said nothing. */
      readonly status?: number;
      readonly retryAfterMs?: number;
    }
  /** We want the lease no more, and have stopped to act by it. */
  | { readonly kind: 'release' };

export type ElectionEffect =
  | { readonly kind: 'read' }
  /** Replace `base`, or create the object where it is undefined. An empty holder gives it up. */
  | {
      readonly kind: 'write';
      readonly base: SeenLease | undefined;
      readonly holder: string;
      readonly transitions: number;
    }
  /** We hold it from now on. */
  | { readonly kind: 'acquired'; readonly transitions: number }
  /** We don't hold it any more, and won't again. */
  | { readonly kind: 'lost'; readonly reason: string }
  /** Another one holds it; told once for each holder. */
  | { readonly kind: 'standingBy'; readonly holder: string }
  /** Requests fail, or otherwise than before; empty: all is well again. */
  | { readonly kind: 'trouble'; readonly reason: string }
  /** It is given up, as far as that was possible. */
  | { readonly kind: 'released' };

export interface ElectionState {
  /** Who we are: a name that no other contender has or has had. */
  readonly me: string;
  readonly timing: ElectionTiming;
  phase: 'waiting' | 'leading' | 'releasing' | 'over';
  /** The object as seen last (undefined: there was none), and since when it has not changed. */
  seen: { readonly lease: SeenLease | undefined; readonly sinceMs: number } | undefined;
  /** There was one once: who deletes it does not make its holder stop at once. */
  hasSeenOne: boolean;
  /** Somebody else has written since we have seen it. */
  isStale: boolean;
  /** Until then we hold it; only while leading. */
  untilMs: number;
  /** The request that is not answered yet. */
  request: { readonly kind: 'read' | 'write'; readonly sentMs: number } | undefined;
  /** When the next request is due. */
  dueMs: number;
  /** Writes that were refused, one after the other. */
  refusals: number;
  /** Requests that are still made to give it up. */
  releasesLeft: number;
  /** Why requests fail; undefined while they don't. */
  trouble: { readonly reason: string; readonly status: number | undefined } | undefined;
  toldHolder: string;
}

/** Requests that are made to give a lease up; then it just expires. */
const mostReleases = 4;

/** The state of a contender that has seen nothing yet. */
export function initialElection(me: string, nowMs: number, timing: ElectionTiming): ElectionState {
  return {
    ...{ me, timing, phase: 'waiting', seen: undefined, hasSeenOne: false },
    ...{ isStale: true, untilMs: 0 },
    ...{ request: undefined, dueMs: nowMs, refusals: 0, releasesLeft: mostReleases },
    ...{ trouble: undefined, toldHolder: '' },
  };
}

/** Whether we hold the lease at that time. To be asked before each act, it needs no tick. */
export function holdsLease({ phase, untilMs }: ElectionState, nowMs: number): boolean {
  return phase === 'leading' && nowMs < untilMs;
}

/** When the next tick is needed; undefined: not before the answer that is awaited. */
export function nextWakeMs(state: ElectionState): number | undefined {
  const { phase, request, dueMs, untilMs } = state;
  if (phase === 'over') return undefined;
  const due = request === undefined ? dueMs : undefined;
  return phase === 'leading' ? Math.min(due ?? untilMs, untilMs) : due;
}
