// Leader election on one object that is written by compare-and-set, in the way of client-go. What a
// contender goes by is its own monotonic clock and whether the object has changed, never a time
// that another machine wrote.

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
  /** Another one holds it; once for each holder. */
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

/** Refused writes after which we look again at once. */
const mostRefusals = 2;

const deleted = { reason: 'the lease was deleted', status: 404 };

/** A server may ask us to wait for longer; who waits for the lease comes back after so long. */
const longestRetryMs = 30_000;

/** What a contender does about an event. Changes `state`; same arguments, same decision. */
export function elect(state: ElectionState, event: ElectionEvent, nowMs: number): ElectionEffect[] {
  if (state.phase === 'over') return [];
  const isOverdue = state.phase === 'leading' && nowMs >= state.untilMs;
  // Even then it may be given up, so that nobody has to wait for it.
  if (isOverdue && event.kind !== 'release') return lose(state, overdue(state));
  switch (event.kind) {
    case 'tick':
      return state.request === undefined && nowMs >= state.dueMs ? attempt(state, nowMs) : [];
    case 'found':
      state.request = undefined;
      note(state, event.lease, nowMs);
      return onFound(state, event.lease, nowMs);
    case 'written':
      return [...recovered(state), ...onWritten(state, event.lease, nowMs)];
    case 'refused':
      return onRefused(state, nowMs);
    case 'failed':
      return onFailed(state, event, nowMs);
    case 'release':
      return onRelease(state, nowMs);
  }
}

function overdue({ timing, trouble }: ElectionState): string {
  const seconds = timing.renewDeadlineMs / 1000;
  const why = trouble === undefined ? '' : `: ${trouble.reason}`;
  return `it could not be renewed for ${seconds} s${why}`;
}

function lose(state: ElectionState, reason: string): ElectionEffect[] {
  state.phase = 'over';
  return [{ kind: 'lost', reason }];
}

/** The next request: what is held or to be given up is written at once, if it is known. */
function attempt(state: ElectionState, nowMs: number): ElectionEffect[] {
  const lease = state.seen?.lease;
  if (state.phase === 'waiting' || state.isStale || lease?.holder !== state.me)
    return read(state, nowMs);
  return write(state, state.phase === 'releasing' ? '' : state.me, nowMs);
}

function read(state: ElectionState, nowMs: number): ElectionEffect[] {
  state.request = { kind: 'read', sentMs: nowMs };
  return [{ kind: 'read' }];
}

function write(state: ElectionState, holder: string, nowMs: number): ElectionEffect[] {
  const base = state.seen?.lease;
  // To give it up is not a change of hands, and who has lost an answer has had it already.
  const isSame = holder === '' || base?.holder === holder;
  const transitions = base === undefined ? 0 : base.transitions + (isSame ? 0 : 1);
  state.request = { kind: 'write', sentMs: nowMs };
  return [{ kind: 'write', base, holder, transitions }];
}

/** Takes down what was seen; only a renewal or a change of hands starts its time anew. */
function note(state: ElectionState, lease: SeenLease | undefined, nowMs: number): void {
  const { seen } = state;
  const isChanged = seen === undefined || signOfLife(seen.lease) !== signOfLife(lease);
  state.seen = { lease, sinceMs: isChanged ? nowMs : seen.sinceMs };
  state.isStale = false;
  state.hasSeenOne ||= lease !== undefined;
}

function signOfLife(lease: SeenLease | undefined): string {
  return lease === undefined ? '' : JSON.stringify([lease.holder, lease.transitions, lease.stamp]);
}

function onFound(
  state: ElectionState,
  lease: SeenLease | undefined,
  nowMs: number,
): ElectionEffect[] {
  const isOurs = lease?.holder === state.me;
  switch (state.phase) {
    case 'leading':
      if (isOurs) return write(state, state.me, nowMs);
      // Who finds none waits before it makes another, so we have our time still.
      if (lease === undefined) return onTrouble(state, deleted, nowMs);
      return lose(state, `${lease.holder === '' ? 'nobody' : lease.holder} holds it`);
    case 'releasing':
      return isOurs ? write(state, '', nowMs) : over(state);
    case 'waiting':
      if (isOurs || isFree(state, nowMs)) return write(state, state.me, nowMs);
      pause(state, nowMs);
      return [...recovered(state), ...standBy(state, lease?.holder ?? '')];
    case 'over':
      return [];
  }
}

/** Whether the lease that was seen may be taken. */
function isFree({ seen, timing, hasSeenOne }: ElectionState, nowMs: number): boolean {
  if (seen === undefined) return false;
  const { lease, sinceMs } = seen;
  if (lease === undefined ? !hasSeenOne : lease.holder === '') return true;
  return nowMs - sinceMs >= Math.max(timing.leaseMs, lease?.leaseMs ?? 0);
}

function standBy(state: ElectionState, holder: string): ElectionEffect[] {
  if (holder === '' || holder === state.toldHolder) return [];
  state.toldHolder = holder;
  return [{ kind: 'standingBy', holder }];
}

/** It is ours from when the write was sent, since others may have seen it soon after. */
function onWritten(state: ElectionState, lease: SeenLease, nowMs: number): ElectionEffect[] {
  const { phase, timing, request } = state;
  const sentMs = request?.sentMs ?? nowMs;
  state.request = undefined;
  state.refusals = 0;
  note(state, lease, nowMs);
  if (phase === 'releasing') return lease.holder === '' ? over(state) : write(state, '', nowMs);
  state.dueMs = Math.max(nowMs, sentMs + timing.retryMs);
  const untilMs = sentMs + timing.renewDeadlineMs;
  // An answer that took too long: the next look finds that it is ours.
  if (nowMs >= untilMs) return [];
  state.untilMs = untilMs;
  if (phase === 'leading') return [];
  state.phase = 'leading';
  return [{ kind: 'acquired', transitions: lease.transitions }];
}

/** Looks again at once, unless somebody seems to write all the time. */
function onRefused(state: ElectionState, nowMs: number): ElectionEffect[] {
  state.request = undefined;
  state.isStale = true;
  state.refusals += 1;
  if (state.phase === 'releasing') return releaseAgain(state, nowMs);
  if (state.refusals <= mostRefusals) return attempt(state, nowMs);
  pause(state, nowMs);
  return [];
}

function releaseAgain(state: ElectionState, nowMs: number): ElectionEffect[] {
  state.releasesLeft -= 1;
  return state.releasesLeft > 0 ? attempt(state, nowMs) : over(state);
}

function onFailed(
  state: ElectionState,
  event: ElectionEvent & { readonly kind: 'failed' },
  nowMs: number,
): ElectionEffect[] {
  // It may have been done all the same.
  if (state.request?.kind === 'write') state.isStale = true;
  state.request = undefined;
  if (state.phase !== 'releasing') return onTrouble(state, event, nowMs);
  return releaseAgain(state, nowMs);
}

/** A connection fails in many words, which are reported once. */
function onTrouble(
  state: ElectionState,
  { reason, status, retryAfterMs = 0 }: Omit<ElectionEvent & { readonly kind: 'failed' }, 'kind'>,
  nowMs: number,
): ElectionEffect[] {
  const isNews = state.trouble === undefined || state.trouble.status !== status;
  state.trouble = { reason, status };
  pause(state, nowMs, retryAfterMs);
  return isNews ? [{ kind: 'trouble', reason }] : [];
}

function recovered(state: ElectionState): ElectionEffect[] {
  if (state.trouble === undefined) return [];
  state.trouble = undefined;
  return [{ kind: 'trouble', reason: '' }];
}

/** Waits; who holds the lease has a last try before its time is over. */
function pause(state: ElectionState, nowMs: number, atLeastMs = 0): void {
  const { timing, phase, untilMs } = state;
  const pauseMs = Math.min(Math.max(timing.retryMs, atLeastMs), longestRetryMs);
  const lastMs = untilMs - timing.requestMs;
  const dueMs = nowMs + pauseMs;
  state.dueMs = phase === 'leading' && lastMs > nowMs ? Math.min(dueMs, lastMs) : dueMs;
  state.refusals = 0;
}

function onRelease(state: ElectionState, nowMs: number): ElectionEffect[] {
  const { phase, request } = state;
  if (phase === 'releasing') return [];
  // A write that is under way may make it ours.
  if (phase === 'waiting' && request?.kind !== 'write' && state.seen?.lease?.holder !== state.me)
    return over(state);
  state.phase = 'releasing';
  return request === undefined ? attempt(state, nowMs) : [];
}

function over(state: ElectionState): ElectionEffect[] {
  state.phase = 'over';
  return [{ kind: 'released' }];
}
