// An engine's state that can be held still. Who reads it piece by piece holds it, and what changes
// it waits until it is let go: so a checkpoint is copied while the next step is computed, and is of
// one step all the same.

import type { EngineState } from '../engine/engine.js';

export interface HoldableState extends EngineState {
  /** Keeps the state as it is until `read` has ended; gives what comes of it. */
  hold<T>(read: () => Promise<T>): Promise<T>;
}

/** The same state; its changes wait for those who hold it. */
export function createHoldableState(state: EngineState): HoldableState {
  const holding = new Set<Promise<unknown>>();
  const letGo = async (): Promise<void> => {
    while (holding.size > 0) await Promise.allSettled(holding);
  };
  return {
    hold: (read) => {
      const reading = read();
      holding.add(reading);
      const end = (): void => void holding.delete(reading);
      reading.then(end, end);
      return reading;
    },
    read: () => state.read(),
    readRange: (start, end) => state.readRange(start, end),
    write: async (values) => {
      await letGo();
      await state.write(values);
    },
    compileStep: async (program) => {
      const step = await state.compileStep(program);
      return {
        ...step,
        apply: async (mean, scalars) => {
          await letGo();
          return await step.apply(mean, scalars);
        },
      };
    },
    close: () => state.close(),
  };
}
