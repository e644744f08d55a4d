// A manifest's own sum, also of one that an earlier version wrote.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeManifest, parseManifest } from '../../../shared/checkpoint/manifest.js';
import { sha256Of } from '../../../shared/sha256.js';
import { canonicalJson, specDigest } from '../../../shared/spec/compare.js';
import { loadPreset } from '../../../shared/spec/load.js';

const spec = loadPreset('demo');
const sum = 'a'.repeat(64);
const written = encodeManifest({
  format: 'lockstep-checkpoint/1',
  ...{ run: 'run', step: 3, spec, specSha256: specDigest(spec), datasetIndexSha256: sum },
  ...{ fingerprint: 'onnx', worldSize: 1, updates: { generator: 3 }, parametersSha256: sum },
  parts: [{ name: 'generator', file: 'generator.safetensors', bytes: 1, sha256: sum }],
  createdAt: '2026-01-01T00:00:00.000Z',
});

test('a manifest that was changed is refused', () => {
  assert.ok(typeof parseManifest(written, 3) !== 'string');
  const changed = Buffer.from(written.toString().replace('"worldSize": 1', '"worldSize": 2'));
  assert.equal(parseManifest(changed, 3), 'its manifest has other bytes than its sum says');
});

test('a manifest without a key that came later is read, with the default of that key', () => {
  const { manifestSha256: _, ...rest } = JSON.parse(written.toString()) as {
    manifestSha256: string;
    spec: { dataset: { splitBy?: string } };
  };
  delete rest.spec.dataset.splitBy;
  const older = { ...rest, manifestSha256: sha256Of(canonicalJson(rest)) };
  const parsed = parseManifest(Buffer.from(JSON.stringify(older)), 3);
  assert.ok(typeof parsed !== 'string', String(parsed));
  assert.deepEqual(parsed.spec, spec);
});
