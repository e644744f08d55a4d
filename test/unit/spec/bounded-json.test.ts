// Documents of brackets only are refused by all that read JSON or YAML, and at once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDatasetIndex } from '../../../dataset/dataset-index.js';
import { parseJson, requireSmallYaml, TooDeep } from '../../../shared/bounded-json.js';
import { decodeSafetensors } from '../../../shared/checkpoint/safetensors.js';
import { readLeaderStatus } from '../../../shared/kubernetes/leader-status.js';
import { leaseAnnotations } from '../../../shared/kubernetes/lease-place.js';
import { parseSpec } from '../../../shared/spec/load.js';
import { parseRunRecord } from '../../../shared/spec/record.js';
import { OperatorError } from '../../../shared/problems.js';
import type { ObjectStore } from '../../../shared/store/store.js';

const depth = 200_000;
const open = '['.repeat(depth);
const whole = open + ']'.repeat(depth);
const objects = '{"a":'.repeat(depth);

test('what is as deep as a document may be is read, and nothing deeper', () => {
  const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
  assert.ok(Array.isArray(parseJson(nested(64))));
  assert.throws(() => parseJson(nested(65)), TooDeep);
  assert.equal(parseJson(JSON.stringify(open)), open, 'brackets in a text are none');
  assert.deepEqual(parseJson('{"a\\\\":"\\"[{"}'), { 'a\\': '"[{' });
});

const header = (text: string): Buffer => {
  const file = Buffer.alloc(8 + text.length);
  file.writeBigUInt64LE(BigInt(text.length));
  file.write(text, 8);
  return file;
};
const storeOf = (text: string) =>
  ({
    url: 'file://d',
    head: async () => ({ key: 'index.json', bytes: text.length }),
    get: async () => Buffer.from(text),
  }) as unknown as ObjectStore;

for (const [name, text] of Object.entries({ open, whole, objects }))
  test(`a document of ${depth} brackets is refused at once: ${name}`, async () => {
    const startedMs = performance.now();
    assert.throws(() => parseJson(text), TooDeep);
    assert.throws(() => parseRunRecord(text), OperatorError);
    assert.throws(() => parseSpec(text, 'run.yaml'), OperatorError);
    assert.throws(() => decodeSafetensors(header(`{"a":${text}`)), /nested deeper than/);
    assert.equal(readLeaderStatus({ [leaseAnnotations.status]: text }), undefined);
    await assert.rejects(readDatasetIndex(storeOf(text)), OperatorError);
    assert.ok(performance.now() - startedMs < 1000);
  });

test('lists in lists on one line of YAML are counted, with or without brackets', () => {
  for (const text of ['- '.repeat(depth), '? '.repeat(depth), '-\t'.repeat(100), '{a: '.repeat(65)])
    assert.throws(() => requireSmallYaml(`${text}a`), TooDeep);
  requireSmallYaml('a: [[1, 2], [3]]\nb: "[[["\n- - - x\n');
});

test('a value of --set may be no deeper', () => {
  const deep = `phases=${'['.repeat(2000)}`;
  assert.throws(() => parseSpec('version: 1', 'run.yaml', [deep]), /--set phases: given/);
});
