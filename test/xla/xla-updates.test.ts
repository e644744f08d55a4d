// The state that the engine xla keeps, after updates on it, against the embedded engine's.

import { after, before, describe } from 'node:test';
import { createEngine } from '../../worker/engine/create-engine.js';
import type { Engine } from '../../worker/engine/engine.js';
import { testUpdates } from '../support/engine/step-parity.js';
import { skipWithoutXla } from '../support/servers.js';

describe('a state of the engine xla', { skip: skipWithoutXla }, () => {
  let [engine, onnx]: Engine[] = [];
  before(async () => {
    engine = await createEngine('xla', { threads: 1 });
    onnx = await createEngine('onnx', { threads: 1 });
  });
  after(() => engine.close());

  testUpdates(() => ({ engine, onnx }), { hasEarly: true });
});
