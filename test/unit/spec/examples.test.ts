// The specs in examples/ are valid, and each says how to use it.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { packageFile } from '../../../shared/paths.js';
import { openSpec } from '../../../shared/spec/load.js';

const examples = readdirSync(packageFile('examples')).filter((name) => name.endsWith('.yaml'));

test('there are examples', () => assert.ok(examples.length >= 3));

for (const name of examples)
  test(`examples/${name} is a valid spec, and says how to use it`, () => {
    const { spec, text } = openSpec(packageFile(`examples/${name}`));
    assert.equal(name, `${spec.name}.yaml`);
    assert.match(text, new RegExp(`lockstep (train|launch) -f examples/${name} `));
  });
