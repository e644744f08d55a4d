// The JSON Schemas that the package carries are those of the events, and say what is none.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { eventData } from '../../../shared/events/kinds.js';
import { eventSchemas } from '../../../shared/events/schemas.js';
import { packageFile } from '../../../shared/paths.js';
import { createEventValidator } from '../../support/watch/event-validator.js';

const lost = {
  specversion: '1.0',
  id: 'faces/lost-w-2',
  source: 'lockstep/faces',
  type: 'lockstep.world.lost',
  subject: 'lost-w-2',
  time: '2026-01-02T03:04:05.678Z',
  datacontenttype: 'application/json',
  data: { worker: 'w-2', reason: 'silent', generation: 3, silent_ms: 2100 },
};

test('the files are those of the code: npm run schemas writes them anew', () => {
  const files = eventSchemas();
  assert.deepEqual(readdirSync(packageFile('schemas/events')).sort(), [...files.keys()].sort());
  for (const [name, text] of files)
    assert.equal(readFileSync(packageFile(`schemas/events/${name}`), 'utf8'), text, name);
  assert.equal(files.size, Object.keys(eventData).length + 1);
});

test('an event is taken, also with fields that come later, and so are data left out', () => {
  const validate = createEventValidator();
  assert.deepEqual(validate(lost), []);
  assert.deepEqual(validate({ ...lost, data: { ...lost.data, later: 1 } }), []);
  assert.deepEqual(validate({ ...lost, type: 'lockstep.world.later' }), []);
  assert.deepEqual(validate({ ...lost, data: { omitted: 'data of 300000 bytes' } }), []);
});

test('what is no event is refused', () => {
  const validate = createEventValidator();
  const strict = createEventValidator({ isStrict: true });
  const { time: _, ...timeless } = lost;
  for (const wrong of [
    timeless,
    { ...lost, time: 'yesterday' },
    { ...lost, specversion: '0.3' },
    { ...lost, data: { ...lost.data, generation: 1.5 } },
    { ...lost, data: { ...lost.data, worker: undefined } },
    { ...lost, type: 'other.world.lost' },
  ])
    assert.notDeepEqual(validate(wrong), [], JSON.stringify(wrong));
  assert.deepEqual(strict(lost), []);
  assert.match(strict({ ...lost, data: { ...lost.data, later: 1 } }).join(), /"later"/);
});
