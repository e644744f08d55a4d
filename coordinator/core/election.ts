// Leader election on one object that is written by compare-and-set, in the way of client-go. What a
// contender goes by is its own monotonic clock and whether the object has changed, never a time
// that another machine wrote. Knows nothing of Kubernetes.

import type { ElectionEffect, ElectionEvent, ElectionState, SeenLease } from './election-state.js';

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

/** A connection fails in many words, which are told once. */
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
