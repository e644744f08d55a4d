// The engine that a spec names.

import { OperatorError, type Problem } from '../../shared/problems.js';
import { devicesProblem, precisionProblem } from '../../shared/spec/engines.js';
import type { EngineName } from '../../shared/spec/schema.js';
import { engineProviders, type Engine, type EngineOptions } from './engine.js';
import { createOnnxEngine } from './onnx-engine.js';
import { createEagerEngine, createTensorflowEngine } from './tensorflow/engines.js';
import { createXlaEngine } from './xla/engine.js';

/**
 * Creates an engine. Throws OperatorError with the command that mends it when the machine lacks
 * what the engine or its provider needs.
 */
export async function createEngine(name: EngineName, options: EngineOptions): Promise<Engine> {
  requireAbilities(name, options);
  switch (name) {
    case 'onnx':
      return createOnnxEngine(options);
    case 'tensorflow':
      return createTensorflowEngine(options);
    case 'tensorflow-eager':
      return createEagerEngine(options);
    case 'xla':
      return createXlaEngine(options);
  }
}

function requireAbilities(
  name: EngineName,
  { provider, precision, devices = 1 }: EngineOptions,
): void {
  const allowed = engineProviders[name];
  const isUnknown = provider !== undefined && !allowed.includes(provider);
  const problems = [
    isUnknown ? { key: '--provider', given: provider, allowed: allowed.join(', ') } : undefined,
    precisionProblem(name, precision),
    devicesProblem(name, devices),
  ].filter((problem): problem is Problem => problem !== undefined);
  if (problems.length > 0) throw new OperatorError(`the engine ${name} can not do this`, problems);
}
