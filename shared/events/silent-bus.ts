// The bus of a run without one.

import type { EventBus } from './bus.js';

/** Creates a bus that takes every event and sends none; says so once, at once. */
export function createSilentBus(onNotice: (text: string) => void): EventBus {
  onNotice('no event bus: set LOCKSTEP_NATS_URL to have the run told as events');
  return { publish: () => undefined, flush: async () => 0, close: async () => undefined };
}
