// What a plugin says of its platform, as the fingerprint has it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namedPlatform } from '../../../worker/engine/xla/runtime.js';

test("the platform has its libraries' version, where the plugin says it", () => {
  const named = (platform: string, platformVersion: string) =>
    namedPlatform({ platform, platformVersion });
  assert.equal(named('cuda', 'PJRT C API\ncuda 13000'), 'cuda 13000');
  assert.equal(named('cuda', 'PJRT C API\ncuda 12080\n'), 'cuda 12080');
  assert.equal(named('cpu', 'cpu'), 'cpu');
  assert.equal(named('cpu', 'PJRT C API\nTFRT CPU'), 'cpu');
});
