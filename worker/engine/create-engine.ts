// The engine that a spec names.

import type { EngineName } from '../../shared/spec/schema.js';
import type { Engine, EngineOptions } from './engine.js';
import { createOnnxEngine } from './onnx-engine.js';
import { createEagerEngine, createTensorflowEngine } from './tensorflow/engines.js';

/**
 * Creates an engine. Throws OperatorError with the command that mends it when the machine lacks
 * what the engine or its provider needs.
 */
export async function createEngine(name: EngineName, options: EngineOptions): Promise<Engine> {
  switch (name) {
    case 'onnx':
      return createOnnxEngine(options);
    case 'tensorflow':
      return createTensorflowEngine(options);
    case 'tensorflow-eager':
      return createEagerEngine(options);
  }
}
