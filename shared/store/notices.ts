// What an operator reads of a store that is away: one line when it has been away for a while, one
// when it answers again, for all threads of a process.

import { BroadcastChannel } from 'node:worker_threads';
import type { Log } from '../log.js';
import type { StoreOptions } from './open-store.js';
import { patientRetryPolicy, type PatienceOptions, type RetryNotice } from './retry.js';

/** Shorter absences are not reported. */
const quietMs = 3_000;

/** Nothing was heard of an absence for so long: all who waited have given up, or have gone. */
const forgottenMs = 60_000;

/** Places that are kept in mind at most. */
const maxPlaces = 64;

interface Absence {
  readonly sinceMs: number;
  /** When the next try is due. */
  untilMs: number;
  isReported: boolean;
}

/** Short, so that what was asked in a minute of silence is soon asked again after it. */
const patientIdleTimeoutMs = 10_000;

type StoreListener = Required<Pick<PatienceOptions, 'onRetry' | 'onAnswer'>>;

/** How the stores of a process are. */
export interface StoreHealth {
  /** Requests that failed and were sent again. */
  readonly failed: number;
  /** A request to one of them waits for another try. */
  readonly isAway: boolean;
}

interface StoreNotices extends StoreListener {
  health(): StoreHealth;
}

/** Turns failed tries and answers into lines. */
function createStoreNotices(print: (text: string) => void, log?: Log): StoreNotices {
  const now = (): number => performance.now();
  const absences = new Map<string, Absence>();
  const backMs = new Map<string, number>();
  let failed = 0;
  const begin = (place: string, { tryMs, elapsedMs }: RetryNotice): Absence | undefined => {
    const back = backMs.get(place) ?? Number.NEGATIVE_INFINITY;
    // Sent before the store was back: old news.
    if (now() - tryMs < back) return undefined;
    const sinceMs = now() - elapsedMs < back ? now() - tryMs : now() - elapsedMs;
    const absence = { sinceMs, untilMs: now(), isReported: false };
    if (absences.size < maxPlaces) absences.set(place, absence);
    return absence;
  };
  return {
    onRetry: (notice) => {
      failed += 1;
      log?.debug('store request failed', { ...notice });
      const place = placeOf(notice.store);
      const known = absences.get(place);
      if (known !== undefined && now() > known.untilMs + forgottenMs) absences.delete(place);
      const absence = absences.get(place) ?? begin(place, notice);
      if (absence === undefined) return;
      absence.untilMs = Math.max(absence.untilMs, now() + notice.waitMs);
      if (absence.isReported || absence.untilMs - absence.sinceMs < quietMs) return;
      absence.isReported = true;
      log?.warn('store away', { store: place, reason: notice.reason });
      print(
        `object store ${place} is away: ${inWords(notice.reason)}; ` +
          'trying again, nothing is lost',
      );
    },
    onAnswer: (store) => {
      const place = placeOf(store);
      const absence = absences.get(place);
      absences.delete(place);
      if (absence === undefined) return;
      if (backMs.has(place) || backMs.size < maxPlaces) backMs.set(place, now());
      const seconds = Math.max(1, Math.round((now() - absence.sinceMs) / 1000));
      if (!absence.isReported) return;
      log?.info('store back', { store: place, seconds });
      print(`object store ${place} is back after ${seconds} s`);
    },
    health: () => {
      const waiting = [...absences.values()].filter(({ untilMs }) => now() < untilMs + forgottenMs);
      return { failed, isAway: waiting.length > 0 };
    },
  };
}

/** Options of the stores of a program that runs for long. */
export interface RunningStores {
  readonly options: StoreOptions;
  health(): StoreHealth;
  /** Stops listening to the threads. */
  close(): void;
}

/**
 * Options for the stores of a worker or coordinator, made once by its main thread: a store is
 * waited for as long as a run can wait, with one line for all stores and threads when one is away,
 * and one when it is back.
 */
export function createRunningStores(
  options: StoreOptions,
  print: (text: string) => void,
  log?: Log,
): RunningStores {
  const notices = createStoreNotices(print, log);
  const stopListening = listenToThreads(notices);
  const patience = {
    s3: { idleTimeoutMs: patientIdleTimeoutMs, ...options.s3 },
    retryPolicy: options.retryPolicy ?? patientRetryPolicy,
  };
  const { onRetry, onAnswer, health } = notices;
  const listening = { ...options, ...patience, onRetry, onAnswer };
  return { options: listening, health, close: stopListening };
}

// Dataset and run mostly lie in one bucket, which is away as a whole.
function placeOf(url: string): string {
  return /^s3:\/\/[^/]+/.exec(url)?.[0] ?? url;
}

const words: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left',
  EDQUOT: 'the quota is used up',
  EIO: 'the disk reports an error',
  TimeoutError: 'it does not answer',
  ECONNREFUSED: 'nothing listens there',
};

function inWords(reason: string): string {
  const said = words[reason];
  return said === undefined ? reason : `${said} (${reason})`;
}

const channelName = 'lockstep-store-notices';

type ThreadNotice =
  | { readonly kind: 'retry'; readonly notice: RetryNotice }
  | { readonly kind: 'answer'; readonly store: string };

/** For the stores of a thread: sends what they report to the main thread of the process. */
export function reportToMainThread(): StoreListener {
  let channel: BroadcastChannel | undefined;
  const post = (message: ThreadNotice): void => {
    if (channel === undefined) {
      channel = new BroadcastChannel(channelName);
      // A thread that has nothing else to do may end.
      channel.unref();
    }
    channel.postMessage(message);
  };
  return {
    onRetry: (notice) => post({ kind: 'retry', notice }),
    onAnswer: (store) => post({ kind: 'answer', store }),
  };
}

/** Passes on what the stores of all threads report; the function returned stops it. */
function listenToThreads(listener: StoreListener): () => void {
  const channel = new BroadcastChannel(channelName);
  channel.unref();
  channel.onmessage = (event: unknown) => {
    const message = (event as { readonly data: ThreadNotice }).data;
    if (message.kind === 'retry') listener.onRetry(message.notice);
    else listener.onAnswer(message.store);
  };
  return () => channel.close();
}
