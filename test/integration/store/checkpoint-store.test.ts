// Checkpoints in a real folder: written by parts, read back, torn in every way a disk or a crash
// can tear them, and the commands that show it.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { commitCheckpoint, findCheckpoint } from '../../../coordinator/edge/checkpoints.js';
import { commitManifest, storePart, pruneCheckpoints } from '../../../shared/checkpoint/write.js';
import { parametersSha256 } from '../../../shared/checkpoint/digests.js';
import {
  listCheckpoints,
  newestWholeCheckpoint,
  readState,
  verifyCheckpoint,
} from '../../../shared/checkpoint/read.js';
import type { CheckpointManifest } from '../../../shared/checkpoint/manifest.js';
import { partsOf, partsOfShare } from '../../../shared/checkpoint/parts.js';
import type { TrainingState } from '../../../shared/checkpoint/state.js';
import { specDigest } from '../../../shared/spec/compare.js';
import { loadPreset } from '../../../shared/spec/load.js';
import { openStore } from '../../../shared/store/open-store.js';
import type { ObjectStore } from '../../../shared/store/store.js';
import {
  discriminator,
  encodePart,
  generator,
  networks,
  stateAt,
} from '../../support/two-networks.js';

/** Writes a checkpoint as `world` workers do; the manifest is given back, and written or not. */
async function save(
  store: ObjectStore,
  state: TrainingState,
  world = 2,
  isCommitted = true,
): Promise<CheckpointManifest> {
  const parts = [];
  for (let rank = 0; rank < world; rank++)
    for (const part of partsOfShare(partsOf(networks), rank, world)) {
      const network = part.network === 'generator' ? generator : discriminator;
      const encoded = encodePart(part, network, state.networks[part.network]);
      parts.push(await storePart(store, state.step, encoded));
    }
  const spec = loadPreset('demo');
  const manifest: CheckpointManifest = {
    format: 'lockstep-checkpoint/1',
    run: 'r',
    step: state.step,
    spec,
    specSha256: specDigest(spec),
    datasetIndexSha256: 'a'.repeat(64),
    fingerprint: 'test',
    worldSize: world,
    updates: { generator: state.step, discriminator: state.step + 1 },
    parametersSha256: parametersSha256(
      Object.values(state.networks).map(({ parameters }) => parameters),
    ),
    parts,
    createdAt: new Date().toISOString(),
  };
  if (isCommitted) await commitManifest(store, manifest);
  return manifest;
}

describe('checkpoints in a store', () => {
  let folder: string;
  let store: ObjectStore;
  const fileOf = (step: number, file: string): string =>
    join(folder, 'checkpoints', `step-${String(step).padStart(8, '0')}`, file);
  beforeEach(async () => {
    // Memory where there is some: these tests write hundreds of small files, each of them synced.
    const place = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    folder = await mkdtemp(join(place, 'lockstep-checkpoint-'));
    store = openStore(`file://${folder}`);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('come back bit by bit, however many wrote them', async () => {
    for (const world of [1, 2, 3, 7]) {
      const state = stateAt(world);
      const manifest = await save(store, state, world);
      const back = await readState(store, manifest, networks);
      assert.deepEqual(back, state);
      assert.equal(
        parametersSha256(Object.values(back.networks).map(({ parameters }) => parameters)),
        manifest.parametersSha256,
      );
      assert.deepEqual(Object.keys(back.networks), ['generator', 'discriminator']);
    }
    const bytes = await Promise.all(
      [1, 3].map((world) => save(store, stateAt(9), world, false).then(({ parts }) => parts)),
    );
    const sums = bytes.map((parts) => parts.map(({ sha256 }) => sha256).sort());
    assert.deepEqual(sums[0], sums[1]);
  });

  it('say the sums that the files have', async () => {
    const { parts } = await save(store, stateAt(1));
    for (const { file, bytes, sha256 } of parts) {
      const body = await readFile(fileOf(1, file));
      assert.equal(body.length, bytes);
      assert.equal(createHash('sha256').update(body).digest('hex'), sha256);
    }
  });

  it('are committed once: again is the same success, another state is a conflict', async () => {
    const manifest = await save(store, stateAt(5), 2);
    const again = { ...manifest, worldSize: 3, createdAt: '2020-01-01T00:00:00.000Z' };
    assert.equal(await commitManifest(store, again), 'already-there');
    const reordered = { ...again, parts: [...again.parts].reverse() };
    assert.equal(await commitManifest(store, reordered), 'already-there');
    const other = commitManifest(store, { ...manifest, parametersSha256: 'b'.repeat(64) });
    await assert.rejects(other, /manifest.json is there already and is of another state/);
    const racing = await Promise.all(
      [1, 2, 3].map(() => save(store, stateAt(6), 1, false).then((m) => commitManifest(store, m))),
    );
    assert.equal(racing.filter((result) => result === 'committed').length, 1);
  });

  const cut = (bytes: number) => (path: string) => truncate(path, bytes);
  const change = (edit: (body: Buffer) => string | Buffer) => async (path: string) =>
    writeFile(path, edit(await readFile(path)));
  const flip = change((body) => (body.set([body[body.length - 1] ^ 4], body.length - 1), body));
  const ofStep4 = async (path: string) =>
    writeFile(path, await readFile(fileOf(4, 'manifest.json')));
  const elsewhere = change((body) =>
    body.toString().replace('"generator.safetensors"', '"../../x.safetensors"'),
  );
  const tears: [string, string, (path: string) => Promise<void>, string][] = [
    ['a missing part', 'generator.safetensors', unlink, 'generator.safetensors is missing'],
    ['a short part', 'generator-adam.safetensors', cut(100), 'generator-adam.safetensors has 100 '],
    [
      'a long part',
      'discriminator.safetensors',
      change((body) => Buffer.concat([body, Buffer.alloc(9)])),
      'discriminator.safetensors has 189 bytes instead of 180',
    ],
    ['a flipped bit', 'generator.safetensors', flip, 'generator.safetensors has other bytes'],
    ['no manifest', 'manifest.json', unlink, 'it has no manifest: it was never finished'],
    ['half a manifest', 'manifest.json', cut(300), 'its manifest is not JSON'],
    ["another step's manifest", 'manifest.json', ofStep4, 'its manifest is of step 4'],
    [
      'a manifest of a file elsewhere',
      'manifest.json',
      elsewhere,
      'its manifest is not valid: parts.',
    ],
  ];
  for (const [name, file, tear, reason] of tears)
    it(`are passed over with ${name}, for the newest whole one`, async () => {
      await save(store, stateAt(4));
      const torn = await save(store, stateAt(8));
      await tear(fileOf(8, file));
      const { faults } = await verifyCheckpoint(store, 8);
      assert.deepEqual(
        faults.map((fault) => fault.file),
        [file],
      );
      const { manifest, passedOver } = await newestWholeCheckpoint(store);
      assert.equal(manifest?.step, 4);
      assert.equal(passedOver.length, 1);
      assert.equal(passedOver[0].step, 8);
      assert.ok(passedOver[0].reason.startsWith(reason), passedOver[0].reason);
      if (!file.endsWith('.safetensors')) return;
      await assert.rejects(
        readState(store, torn, networks),
        /checkpoint of step 8 .* can't be used/,
      );
    });

  it('of other networks are refused by name', async () => {
    const manifest = await save(store, stateAt(2));
    const wider = { ...generator, parameters: [{ name: 'g/kernel', shape: [3, 3, 3, 32] }] };
    await assert.rejects(
      readState(store, manifest, [wider, discriminator]),
      /checkpoint of step 2 .* can't be used: generator: 2 tensors, 1 are due/,
    );
    const third = { ...generator, name: 'third' };
    await assert.rejects(readState(store, manifest, [third]), /it has no part third/);
  });

  it('are pruned to the newest, and never the newest whole one', async () => {
    for (const step of [1, 2, 3, 4, 5]) await save(store, stateAt(step));
    assert.deepEqual(await pruneCheckpoints(store, 3, 5), [1, 2]);
    await unlink(fileOf(5, 'generator.safetensors'));
    await unlink(fileOf(4, 'generator.safetensors'));
    assert.deepEqual(await pruneCheckpoints(store, 1), [4]);
    const left = (await listCheckpoints(store)).map(({ step }) => step);
    assert.deepEqual(left, [3, 5]);
    assert.equal((await newestWholeCheckpoint(store)).manifest?.step, 3);
  });

  it('are pruned to the newest and those that are to stay', async () => {
    for (const step of [1, 2, 3, 4, 5]) await save(store, stateAt(step));
    assert.deepEqual(await pruneCheckpoints(store, 1, 5, [2, 9]), [1, 3, 4]);
    const left = (await listCheckpoints(store)).map(({ step }) => step);
    assert.deepEqual(left, [2, 5]);
  });

  it('are pruned manifest first', async () => {
    for (const step of [1, 2]) await save(store, stateAt(step));
    const deleted: string[] = [];
    const watched: ObjectStore = {
      ...store,
      delete: async (key) => void deleted.push(key),
    };
    await pruneCheckpoints(watched, 1, 2);
    assert.equal(deleted[0], 'checkpoints/step-00000001/manifest.json');
    assert.equal(deleted.length, 7);
  });

  it('that are torn are written anew once the run passes them again', async () => {
    for (const step of [1, 2, 3]) await save(store, stateAt(step), 2, step < 3);
    await truncate(fileOf(2, 'generator.safetensors'), 10);
    assert.equal((await newestWholeCheckpoint(store)).manifest?.step, 1);
    const { spec } = (await newestWholeCheckpoint(store)).manifest!;
    await findCheckpoint(store, { format: 'lockstep-run/1', run: 'r', spec, createdAt: '' });
    // Parts stay: they may be a worker's that will yet tell of them.
    const left = await listCheckpoints(store);
    assert.deepEqual(
      left.map(({ step, hasManifest }) => `${step} ${hasManifest}`),
      ['1 true', '2 false', '3 false'],
    );
    const state = stateAt(77);
    await save(store, { ...state, step: 2 });
    assert.equal((await newestWholeCheckpoint(store)).manifest?.step, 2);
  });

  it('are committed even when old ones can not be deleted', async () => {
    for (const step of [1, 2]) await save(store, stateAt(step));
    const manifest = await save(store, stateAt(3), 2, false);
    const told: string[] = [];
    const listeners = {
      committed: (step: number) => void told.push(`step ${step}`),
      notice: (text: string) => void told.push(text),
    };
    const stuck = { ...store, delete: async () => Promise.reject(new Error('away')) };
    const event = await commitCheckpoint(stuck, manifest, 1, listeners);
    assert.deepEqual(event, { kind: 'manifestStored', step: 3 });
    assert.deepEqual(told, ['step 3', 'old checkpoints stay until the next one: away']);
    assert.equal((await newestWholeCheckpoint(store)).manifest?.step, 3);
    const silent = { ...store, delete: () => new Promise<void>(() => undefined) };
    const late = await commitCheckpoint(silent, manifest, 1, listeners, { pruneWaitMs: 50 });
    assert.equal(late.kind, 'manifestStored');
  });

  it('are searched when no worker has a state; torn ones above are none any more', async () => {
    const { spec } = await save(store, stateAt(1));
    await save(store, stateAt(2));
    await truncate(fileOf(2, 'generator.safetensors'), 10);
    const record = { format: 'lockstep-run/1' as const, run: 'r', spec, createdAt: '' };
    const found = await findCheckpoint(store, record);
    assert.equal(found.step, 1);
    assert.match(found.notices.join(), /step 2 passed over: generator/);
    const finished = (await listCheckpoints(store)).filter(({ hasManifest }) => hasManifest);
    assert.equal(finished.length, 1);
    const other = { ...record, spec: { ...spec, seed: spec.seed + 1 } };
    await assert.rejects(findCheckpoint(store, other), /of another spec/);
  });
});
