// Single files that broke a reader once, or would break a careless one: as wide, as long or as deep
// as their bytes allow. Each is refused at once, in a text that fits a screen or two.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDatasetIndex } from '../../../dataset/dataset-index.js';
import { mostYamlItems } from '../../../shared/bounded-json.js';
import { encodeManifest, manifestKey } from '../../../shared/checkpoint/manifest.js';
import { readManifest, readState } from '../../../shared/checkpoint/read.js';
import { decodeSafetensors, SafetensorsFault } from '../../../shared/checkpoint/safetensors.js';
import { OperatorError } from '../../../shared/problems.js';
import { specDigest } from '../../../shared/spec/compare.js';
import { loadPreset, parseSpec } from '../../../shared/spec/load.js';
import { parseRunRecord, readRunRecord } from '../../../shared/spec/record.js';
import type { ObjectStore } from '../../../shared/store/store.js';
import { openKerasFile } from '../../../shared/weights/keras-vgg19.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import { processorMs } from './reader.js';
import { storeWith } from './store.js';

/** Time of the processor: much for what is refused at a glance, little beside minutes. */
const soonMs = 4_000;

async function refusedSoon(read: () => unknown, reason: RegExp): Promise<Error> {
  const startMs = processorMs();
  let found: unknown;
  try {
    await read();
  } catch (error) {
    found = error;
  }
  assert.ok(found instanceof Error, 'it is refused');
  assert.match(found.message, reason);
  assert.ok(found.message.length < 30_000, `${found.message.length} letters`);
  const ms = processorMs() - startMs;
  assert.ok(ms < soonMs, `it took ${Math.round(ms)} ms`);
  return found;
}

const many = 60_000;
const list = (of: (i: number) => string, by: string): string =>
  Array.from({ length: many }, (_, i) => of(i)).join(by);

const wideSpecs: Readonly<Record<string, string>> = {
  'a key a line': list((i) => `k${i}:`, '\n'),
  'the same key a line': list(() => 'a:', '\n'),
  'keys between braces': `{${list((i) => `k${i}`, ',')}}`,
  'keys after question marks': list((i) => `? ${i}`, '\n'),
  'items of a list': `phases: [${list(() => '{}', ',')}]`,
  'errors a line': list(() => 'a: b: c', '\n'),
  'lines that end as on old Macs': list((i) => `k${i}:`, '\r'),
  anchors: list((i) => `k${i}: &a${i} 1`, '\n'),
  directives: `${list(() => '%TAG ! x', '\n')}\n---\na: 1`,
};

for (const [what, text] of Object.entries(wideSpecs))
  test(`a spec that is too wide is refused at once: ${what}`, async () => {
    const reason = /lines and items, more than 4000|at most 1048576/;
    const error = await refusedSoon(() => parseSpec(text, 'run.yaml'), reason);
    assert.ok(error instanceof OperatorError);
  });

test('a spec of as many lines as there may be is judged soon', async () => {
  const text = Array.from({ length: mostYamlItems }, (_, i) => `k${i}:`).join('\n');
  await refusedSoon(() => parseSpec(text, 'run.yaml'), /no such key/);
});

test('a record with a hundred thousand keys too many is told in a few of them', async () => {
  const unknown = Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`k${i}`, 1]));
  const { root, below } = {
    root: { format: 'lockstep-run/1', run: 'r', spec: unknown, createdAt: '' },
    below: { format: 'lockstep-run/1', run: 'r', spec: { batch: unknown }, createdAt: '' },
  };
  for (const record of [root, below]) {
    const text = JSON.stringify(record);
    await refusedSoon(() => parseRunRecord(text), /59950 more keys/);
  }
});

/** A store of one file that is as long as its reader likes. */
function endless(): ObjectStore & { readonly asked: number[] } {
  const asked: number[] = [];
  return {
    ...storeWith({}),
    asked,
    head: async (key) => ({ key, bytes: 2 ** 52 }),
    get: async (_key, range) => {
      assert.ok(range !== undefined, 'it is read without a bound');
      asked.push(range.end - range.start);
      return Buffer.alloc(range.end - range.start, ' ');
    },
  };
}

test('a record or manifest without end is read up to its bound', async () => {
  const store = endless();
  await refusedSoon(() => readRunRecord(store), /at most 1 MiB/);
  const fault = await readManifest(store, 1);
  assert.match('text' in fault ? fault.text : '', /its manifest has over 1048576 bytes/);
  assert.ok(store.asked.every((bytes) => bytes <= 2 ** 20 + 1));
});

test('a part that is to have more bytes than its tensors is not read', async () => {
  const spec = loadPreset('demo');
  const { networks } = createSrganTask(spec);
  const sum = 'a'.repeat(64);
  const names = networks.flatMap(({ name }) =>
    ['', '-adam', '-statistics'].map((end) => name + end),
  );
  const body = encodeManifest({
    format: 'lockstep-checkpoint/1',
    ...{ run: 'r', step: 3, spec, specSha256: specDigest(spec), datasetIndexSha256: sum },
    ...{ fingerprint: 'onnx', worldSize: 1, updates: { generator: 3 }, parametersSha256: sum },
    parts: [...names, 'generator-average'].map((name) => {
      return { name, file: `${name}.safetensors`, bytes: 2 ** 50, sha256: sum };
    }),
    createdAt: '2026-01-01T00:00:00.000Z',
  });
  const store = storeWith({ [manifestKey(3)]: body });
  const manifest = await readManifest(store, 3);
  assert.ok('format' in manifest);
  await refusedSoon(
    () => readState(store, manifest, networks),
    /would have 1125899906842624 bytes/,
  );
});

const file = (header: string): Buffer => {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  return Buffer.concat([length, Buffer.from(header)]);
};
const long = 'x'.repeat(7_000_000);
const headers: Readonly<Record<string, string>> = {
  'a name of millions of letters': `{"${long}":{"dtype":"F32","shape":[0],"data_offsets":[1,1]}}`,
  'a key of millions of letters': `{"a":{"${long}":1}}`,
  'a type that is no text': '{"a":{"dtype":{"toString":1},"shape":[0],"data_offsets":[0,0]}}',
  'letters that control a terminal': '{"a":{"\\u001b[31m\\u202e":1}}',
};
for (const [what, header] of Object.entries(headers))
  test(`safetensors with ${what} are refused in short words`, async () => {
    const error = await refusedSoon(
      () => decodeSafetensors(file(header)),
      /not a safetensors file/,
    );
    assert.ok(error instanceof SafetensorsFault && error.message.length < 500);
    // eslint-disable-next-line no-control-regex
    assert.doesNotMatch(error.message, /[\u0000-\u001f\u202e]/);
  });

test('an index whose shards or samples are all wrong is told in the first of them', async () => {
  const sum = 'a'.repeat(64);
  const shard = `{"file":"shard-000000.tar","bytes":10,"sha256":"${sum}"}`;
  const at = (i: number): string =>
    `{"key":"${String(i).padStart(8, '0')}","shard":0,"offset":0,"bytes":1,` +
    `"width":1,"height":1,"sha256":"${sum}"}`;
  const bodies = {
    malformed: [list(() => '{}', ','), at(0)],
    doubled: [list(() => shard, ','), at(0)],
    overlapping: [shard, list(at, ',')],
  };
  for (const [shards, samples] of Object.values(bodies)) {
    const text = `{"format":"lockstep-dataset/2","shards":[${shards}],"samples":[${samples}]}`;
    const store = storeWith({ 'index.json': Buffer.from(text) });
    const error = await refusedSoon(() => readDatasetIndex(store), /index at .* is unsound/);
    assert.ok(error instanceof OperatorError && error.problems.length <= 20);
  }
});

test('what is no HDF5 file is refused in one line, and nothing is printed', async (t) => {
  const printed: unknown[] = [];
  for (const name of ['error', 'warn', 'log'] as const)
    t.mock.method(console, name, (...words: unknown[]) => void printed.push(words));
  const error = await refusedSoon(
    () => openKerasFile(Buffer.from('nothing')),
    /it is no HDF5 file/,
  );
  assert.ok(!error.message.includes('\n'));
  assert.deepEqual(printed, []);
});
