// A worker of the exchange in a process of its own, for the tests that kill, stop or outlive it.
// Speaks JSON over the IPC channel: sends its address, takes a world, runs steps, sends digests.

import { createHash } from 'node:crypto';

import type { World } from '../../../shared/words.js';
import { contribute, createVectors, resultOf, startWorker } from './exchange-worlds.js';

/** What the parent sends: join this world and run these steps, then close. */
export interface ChildTask {
  readonly world: World;
  readonly rank: number;
  readonly microShards: number;
  readonly floats: number;
  readonly steps: number;
}

/** What the child sends. */
export type ChildReport =
  | { readonly kind: 'address'; readonly address: string }
  | { readonly kind: 'joined' }
  | { readonly kind: 'step'; readonly step: number; readonly sha256: string };

const report = (message: ChildReport): void => void process.send?.(message);
const { exchange, address, close } = await startWorker();

process.once('message', (task: ChildTask) => void run(task));
report({ kind: 'address', address });

async function run({ world, rank, microShards, floats, steps }: ChildTask): Promise<void> {
  const vectors = createVectors(rank, world.members.length, microShards, floats);
  const exchangeWorld = { world, rank, ...vectors };
  await exchange.join(exchangeWorld);
  report({ kind: 'joined' });
  for (let step = 0; step < steps; step++) {
    contribute(exchangeWorld, step, floats);
    await exchange.allReduce(step, floats);
    const sha256 = createHash('sha256')
      .update(resultOf(exchangeWorld, step, floats))
      .digest('hex');
    report({ kind: 'step', step, sha256 });
  }
  if (steps === 0) return;
  await close();
  process.disconnect();
}
