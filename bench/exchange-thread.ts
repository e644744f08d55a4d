// The network thread of a process of the exchange bench: the exchange on its own server.

import { parentPort } from 'node:worker_threads';

import type { Step } from '../shared/words.js';
import { createExchangeServer } from '../worker/exchange/exchange-server.js';
import type { ExchangeWorld } from '../worker/exchange/exchange.js';

export type ThreadTask =
  | { readonly kind: 'join'; readonly world: ExchangeWorld }
  | { readonly kind: 'reduce'; readonly step: Step; readonly floats: number };

export type ThreadReport =
  { readonly kind: 'address'; readonly address: string } | { readonly kind: 'joined' | 'reduced' };

const { exchange, address } = await createExchangeServer('127.0.0.1');
const report = (message: ThreadReport): void => parentPort?.postMessage(message);

parentPort?.on('message', (task: ThreadTask) => void perform(task));
report({ kind: 'address', address });

/** A failure ends the thread, and with it the process: the bench has nothing to measure then. */
async function perform(task: ThreadTask): Promise<void> {
  if (task.kind === 'join') await exchange.join(task.world);
  else await exchange.allReduce(task.step, task.floats);
  report({ kind: task.kind === 'join' ? 'joined' : 'reduced' });
}
