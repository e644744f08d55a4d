// docs/events.md names every type of event, and of each all fields.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { z } from 'zod';
import { eventData } from '../../../shared/events/kinds.js';
import { packageFile } from '../../../shared/paths.js';

const page = readFileSync(packageFile('docs/events.md'), 'utf8');

/** Names of all fields, those of objects and lists in it too. */
function fieldsOf(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  return Object.entries(schema).flatMap(([key, value]) => [
    ...(key === 'properties' ? Object.keys(value as object) : []),
    ...fieldsOf(value),
  ]);
}

for (const [type, data] of Object.entries(eventData))
  test(`docs/events.md says what lockstep.${type} carries`, () => {
    const section = page.split('\n### ').find((text) => text.split('\n', 1)[0]?.includes(type));
    assert.ok(section, 'it has a section');
    // What is said once for all: seconds of a step, and a straggler.
    const said = type === 'world.observed' ? page : section;
    const missing = fieldsOf(z.toJSONSchema(data)).filter((name) => !said.includes(`\`${name}\``));
    assert.deepEqual(missing, []);
  });

test('docs/events.md has no type that there is not', () => {
  const named = [...page.matchAll(/^### (.*)$/gm)].flatMap(([, names = '']) => names.split(', '));
  assert.deepEqual(
    named.sort(),
    Object.keys(eventData)
      .map((type) => `lockstep.${type}`)
      .sort(),
  );
});
