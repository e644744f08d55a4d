// The engine `xla`: any device that has a PJRT plugin. It lowers a step graph to StableHLO text,
// which XLA compiles for the device; the training state lies there, and is updated there.

import { OperatorError } from '../../../shared/problems.js';
import type { Engine, EngineOptions } from '../engine.js';

/** Creates the engine; throws OperatorError when no plugin for the provider is set up. */
export function createXlaEngine(options: EngineOptions): Promise<Engine> {
  return Promise.reject(
    new OperatorError('the engine xla is not set up', [
      { key: '--provider', given: options.provider, allowed: 'an engine that is set up' },
    ]),
  );
}
