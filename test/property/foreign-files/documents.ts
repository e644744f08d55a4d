// Readers of documents: specs, records, manifests, indexes, notes, events. Each is given texts that
// were valid once.

import fc from 'fast-check';
import { pictureLines } from '../../../cli/watch/picture-lines.js';
import { newestTerm } from '../../../coordinator/edge/terms.js';
import { readDatasetIndex } from '../../../dataset/dataset-index.js';
import { readBest } from '../../../shared/checkpoint/best.js';
import { encodeManifest, parseManifest } from '../../../shared/checkpoint/manifest.js';
import { readEvents } from '../../../shared/events/event-log.js';
import { OperatorError } from '../../../shared/problems.js';
import { specDigest } from '../../../shared/spec/compare.js';
import { loadPreset, openPreset, parseSpec, presetNames } from '../../../shared/spec/load.js';
import { parseRunRecord } from '../../../shared/spec/record.js';
import { createRunHistory } from '../../../watch/history/history.js';
import { parsePicture } from '../../../watch/history/picture-json.js';
import { eventfulStory } from '../../support/watch/shown-run.js';
import { mutatedBytes, mutatedJson } from './mutations.js';
import type { Reader } from './reader.js';
import { storeWith } from './store.js';

const isMistake = (error: unknown): boolean => error instanceof OperatorError;
const never = (): boolean => false;

const sum = 'a'.repeat(64);
const spec = loadPreset('demo');
const texts = presetNames().map((name) => Buffer.from(openPreset(name).text));

/** What YAML makes much of. */
const yamlTokens = [
  ...['&a ', '*a', '<<: *a\n', '!!js/function ', '!!binary ', '!!set ', '!!omap ', '? ', '- - - '],
  ...['%YAML 1.1\n---\n', '---\n', '...\n', '\t', '\0', '{', '[', '"', "'", '|\n', '>\n', '#'],
  ...['__proto__: 1\n', '\r', '\u2028', '\ufeff', '0x', '1e999', '!', ': ', '\n\n', '{a: {a: '],
];

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** Changes of values and, half as often, of bytes. */
function changed(...samples: readonly unknown[]): fc.Arbitrary<Buffer> {
  const whole = mutatedJson(samples).map((text) => Buffer.from(text));
  return fc.oneof({ weight: 2, arbitrary: whole }, mutatedBytes(samples.map(json)));
}

const record = {
  ...{ format: 'lockstep-run/1', run: 'r', spec, createdAt: '2026-01-01T00:00:00.000Z' },
};
const manifest = JSON.parse(
  encodeManifest({
    format: 'lockstep-checkpoint/1',
    ...{ run: 'r', step: 3, spec, specSha256: specDigest(spec), datasetIndexSha256: sum },
    ...{ fingerprint: 'onnx', worldSize: 1, updates: { generator: 3 }, parametersSha256: sum },
    parts: [{ name: 'generator', file: 'generator.safetensors', bytes: 1, sha256: sum }],
    createdAt: '2026-01-01T00:00:00.000Z',
  }).toString(),
) as { readonly manifestSha256: string };
const { manifestSha256: _sum, ...manifestWithoutSum } = manifest;

const sample = (key: string, offset: number) => {
  return { ...{ key, shard: 0, offset, bytes: 10, width: 4, height: 4 }, sha256: sum };
};
const index = {
  format: 'lockstep-dataset/2',
  shards: [{ file: 'shard-000000.tar', bytes: 2048, sha256: sum }],
  samples: [sample('a', 512), sample('b', 600), sample('c/d', 700)],
};
const best = { step: 3, metric: 'psnr', value: 25 };
const term = { address: 'h:7400', pid: 1, host: 'h', startedAt: '2026-01-01T00:00:00.000Z' };

const story = eventfulStory();
const lines = Buffer.from(`${story.events.map((event) => JSON.stringify(event)).join('\n')}\n`);
const anyLines = fc.oneof(
  mutatedBytes([lines]),
  fc
    .array(mutatedJson(story.events), { minLength: 1, maxLength: 12 })
    .map((all) => Buffer.concat([lines, Buffer.from(`${all.join('\n')}\n`)])),
);

const picture = (() => {
  const history = createRunHistory();
  for (const event of story.events) history.add(event);
  return history.picture();
})();

const view = { width: 80, height: 24, nowMs: Date.parse('2026-01-03T00:00:00Z') };

export const documentReaders: readonly Reader[] = [
  {
    name: 'run spec',
    input: mutatedBytes(texts, yamlTokens),
    valid: texts,
    runs: 80,
    read: (bytes) => parseSpec(bytes.toString(), 'run.yaml'),
    refuses: isMistake,
  },
  {
    name: 'value of --set',
    input: mutatedBytes(
      ['batch.size=8', 'phases.0.steps=100', 'dataset={url: file:///d}'].map((one) =>
        Buffer.from(one),
      ),
      yamlTokens,
    ),
    valid: [Buffer.from('batch.size=8')],
    runs: 60,
    read: (bytes) => parseSpec(texts[0].toString(), 'run.yaml', [bytes.toString()]),
    refuses: isMistake,
  },
  {
    name: 'run record',
    input: changed(record),
    valid: [json(record)],
    read: (bytes) => parseRunRecord(bytes.toString()),
    refuses: isMistake,
  },
  {
    name: 'manifest of a checkpoint',
    input: changed(manifest, manifestWithoutSum),
    valid: [json(manifest)],
    read: (bytes) => {
      const parsed = parseManifest(bytes, 3);
      if (typeof parsed === 'string') throw new OperatorError(parsed, []);
    },
    refuses: isMistake,
  },
  {
    name: 'note of the best checkpoint',
    input: changed(best),
    valid: [json(best)],
    read: (bytes) => readBest(storeWith({ 'checkpoints/best.json': bytes })),
    refuses: never,
  },
  {
    name: 'file of a term',
    input: changed(term),
    valid: [json(term)],
    read: (bytes) => newestTerm(storeWith({ 'coordinators/term-00000001.json': bytes })),
    refuses: (error) => /term-00000001\.json is not valid/.test((error as Error).message),
  },
  {
    name: 'index of a dataset',
    input: changed(index),
    valid: [json(index)],
    read: (bytes) => readDatasetIndex(storeWith({ 'index.json': bytes })),
    refuses: isMistake,
  },
  {
    name: 'events of a run, and what is shown of them',
    input: anyLines,
    valid: [lines],
    runs: 25,
    read: async (bytes) => {
      const history = createRunHistory();
      const store = storeWith({ 'events/term-000001-000001.jsonl': bytes });
      for await (const event of readEvents(store)) history.add(event);
      JSON.stringify([history.timeLine(), history.series({ points: 100 }), history.computedBy()]);
      pictureLines(history.picture(), view);
    },
    refuses: never,
  },
  {
    name: 'picture of a run from its coordinator',
    input: changed(picture),
    valid: [json(picture)],
    read: (bytes) => {
      const parsed = parsePicture(bytes);
      if (parsed !== undefined) pictureLines(parsed, view);
    },
    refuses: never,
  },
];
