// Faults on purpose (`lockstep chaos`, the tests of faults). A trap: this process sends itself a
// signal when it turns to an activity, so that a fault hits exactly there. Each thread has its own
// traps, and springs them by the messages it sends and gets.

import { writeSync } from 'node:fs';
import type { Trap } from '../../shared/control/messages.js';
import type { Step } from '../../shared/words.js';
import type { ToCompute, ToNetwork } from './ports.js';

export interface Traps {
  /** Springs once. */
  set(trap: Trap): void;
  /** This worker now turns to `activity`, with `step` steps committed. */
  reach(activity: string, step: Step): void;
  /** A message is about to be sent to the network thread, or to be obeyed in the compute thread. */
  onMessage(message: ToNetwork | ToCompute): void;
}

/** What a trap does when it is reached with `step` steps committed. */
export type Spring = (trap: Trap, step: Step) => void;

/** Creates a thread's traps; none is set. */
export function createTraps(spring: Spring): Traps {
  let traps: readonly Trap[] = [];
  const reach = (activity: string, step: Step): void => {
    const sprung = traps.find((trap) => trap.activity === activity && step >= trap.step);
    if (sprung === undefined) return;
    traps = traps.filter((trap) => trap !== sprung);
    spring(sprung, step);
  };
  return {
    set: (trap) => {
      traps = [...traps, trap];
    },
    reach,
    onMessage: (message) => {
      // Almost always: steps must not be slower for what tests might want.
      if (traps.length === 0) return;
      const moment = momentOf(message);
      if (moment !== undefined) reach(...moment);
    },
  };
}

/** Says so, and sends this process the signal. */
export function signalSelf(worker: string): Spring {
  return ({ signal, activity }, step) => {
    // Written at once: after the signal there may be no later.
    writeSync(2, `${worker}: ${signal} on purpose, at ${activity} of step ${step}\n`);
    process.kill(process.pid, signal);
  };
}

/** What the compute thread turns to with a message, and at which step. */
function momentOf(message: ToNetwork | ToCompute): [activity: string, step: Step] | undefined {
  switch (message.kind) {
    case 'activity':
      return [message.activity, message.step];
    case 'enter':
    case 'finish':
      return [message.kind, message.step];
    case 'stateHeader':
      return ['take', message.header.step];
    case 'servedHeader':
      return ['serve', message.header.step];
    case 'tell':
      return message.message.kind === 'partStored' ? ['save', message.message.step] : undefined;
    default:
      return undefined;
  }
}

/** Longest time that a worker can be made to stand still. */
const longestStandMs = 600_000;

/** Blocks the calling thread, as if it were frozen; its sockets stay open. */
export function standStill(ms: number): void {
  const word = new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(word, 0, 0, Math.min(ms, longestStandMs));
}
