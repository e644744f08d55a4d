// How a store in a worker thread says that it waits: over a channel that reaches the process's
// main thread, so that a process says one line, not each of its threads one.

import { BroadcastChannel } from 'node:worker_threads';
import type { PatienceOptions } from './patience.js';
import type { RetryNotice } from './retry.js';

const channelName = 'lockstep-store-notices';

type ThreadNotice =
  | { readonly kind: 'retry'; readonly notice: RetryNotice }
  | { readonly kind: 'answer'; readonly store: string };

/** What a thread's stores tell, and whom: everyone who listens in this process. */
export function tellProcess(): Required<Pick<PatienceOptions, 'onRetry' | 'onAnswer'>> {
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

/** Hears what the stores of all threads tell; the function given back stops it. */
export function listenToThreads(listener: {
  onRetry(notice: RetryNotice): void;
  onAnswer(store: string): void;
}): () => void {
  const channel = new BroadcastChannel(channelName);
  channel.unref();
  channel.onmessage = (event: unknown) => {
    const message = (event as { readonly data: ThreadNotice }).data;
    if (message.kind === 'retry') listener.onRetry(message.notice);
    else listener.onAnswer(message.store);
  };
  return () => channel.close();
}
