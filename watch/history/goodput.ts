// Goodput: how much of the time in which a run was led went into steps that count.

import { lossCauses, type Goodput, type LossCause } from './picture.js';

/** What the account is kept of, in the order of time. Times are in milliseconds since 1970. */
export type Mark =
  | { readonly kind: 'started' | 'ended' | 'lost' | 'formed' | 'heard'; readonly timeMs: number }
  | {
      readonly kind: 'step';
      readonly timeMs: number;
      /** Seconds by the step's own report; 0 when it has none. */
      readonly seconds: number;
      readonly use: 'useful' | 'redone' | 'skipped';
    };

/** An account that can be kept on from where it stands. */
export interface GoodputAccount {
  mark(mark: Mark): void;
  /** The account until now; the coordinator may lead on. */
  goodput(): Goodput;
  copy(): GoodputAccount;
}

type Share = LossCause | 'useful';

interface AccountState {
  /** Seconds by where they went. */
  readonly sums: Record<Share, number>;
  isLed: boolean;
  /** Up to when time is accounted for, and when something was heard last. */
  accountedMs: number;
  heardMs: number;
  /** What the time until the next step is lost to; undefined: nothing is known to have happened. */
  cause: LossCause | undefined;
  /** Seconds "other" of the stretch before: steps that are reported in a burst were taken in it. */
  pool: number;
}

/**
 * An empty account of stretches of time, each from one committed step to the next:
 *
 *   wall    from a coordinator's start to its end (or to the last that was heard of it), the time
 *           between a stop and a resume left out; of a run that goes on, to its newest step;
 *   useful  of each stretch, the seconds that its step says it took, if the step counts; if it was
 *           taken again later they are "redone", if its gradients were not finite "skipped";
 *   lost    what is left of the stretch: "starting" before a coordinator's first step, "lost" when
 *           a worker was lost in it, "membership" when a world was formed in it, else "other".
 *
 * So wall = useful + lost, whatever was heard.
 */
export function createGoodputAccount(): GoodputAccount {
  const sums = Object.fromEntries(['useful', ...lossCauses].map((share) => [share, 0]));
  return accountOf({
    sums: sums as Record<Share, number>,
    ...{ isLed: false, accountedMs: 0, heardMs: 0, cause: undefined, pool: 0 },
  });
}

function accountOf(state: AccountState): GoodputAccount {
  return {
    mark: (mark) => account(state, mark),
    goodput: () => summed(state),
    copy: () => accountOf({ ...state, sums: { ...state.sums } }),
  };
}

function account(state: AccountState, mark: Mark): void {
  if (mark.kind === 'started') {
    // Its predecessor is not known to have led until now.
    endSession(state, state.heardMs);
    startSession(state, mark.timeMs);
    return;
  }
  if (!state.isLed && mark.kind !== 'ended') startSession(state, mark.timeMs);
  state.heardMs = mark.timeMs;
  if (mark.kind === 'step') return accountStep(state, mark);
  if (mark.kind === 'ended') return endSession(state, mark.timeMs);
  if (mark.kind === 'heard' || state.cause === 'starting') return;
  if (mark.kind === 'lost') state.cause = 'lost';
  else state.cause ??= 'membership';
}

function startSession(state: AccountState, timeMs: number): void {
  Object.assign(state, { isLed: true, accountedMs: timeMs, heardMs: timeMs, pool: 0 });
  state.cause = 'starting';
}

function endSession(state: AccountState, timeMs: number): void {
  if (state.isLed) state.sums[state.cause ?? 'other'] += (timeMs - state.accountedMs) / 1000;
  state.isLed = false;
}

function accountStep(state: AccountState, step: Mark & { readonly kind: 'step' }): void {
  const { sums, cause } = state;
  const stretch = Math.max(0, step.timeMs - state.accountedMs) / 1000;
  // Without seconds of its own, a step has the whole stretch, unless it is known what else was.
  const seconds = step.seconds > 0 ? step.seconds : cause === undefined ? stretch : 0;
  const taken = Math.min(seconds, stretch);
  sums[step.use] += taken;
  sums[cause ?? 'other'] += stretch - taken;
  const late = Math.min(seconds - taken, state.pool);
  sums[step.use] += late;
  sums.other -= late;
  if (seconds <= stretch) state.pool = cause === undefined ? stretch - taken : 0;
  else state.pool -= late;
  Object.assign(state, { accountedMs: Math.max(state.accountedMs, step.timeMs), cause: undefined });
}

function summed({ sums, isLed, cause, heardMs, accountedMs }: AccountState): Goodput {
  const waiting = isLed && cause !== undefined ? (heardMs - accountedMs) / 1000 : 0;
  const lost = Object.fromEntries(
    lossCauses.map((one) => [one, seconds(sums[one] + (one === cause ? waiting : 0))]),
  ) as Record<LossCause, number>;
  const useful = seconds(sums.useful);
  const wall = seconds(lossCauses.reduce((sum, one) => sum + lost[one], useful));
  return {
    share: wall === 0 ? 0 : Math.round((1e4 * useful) / wall) / 1e4,
    ...{ wall_s: wall, useful_s: useful, lost_s: lost },
  };
}

function seconds(value: number): number {
  return Math.max(0, Math.round(1000 * value) / 1000);
}
