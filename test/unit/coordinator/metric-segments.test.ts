import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMetricSegments } from '../../../coordinator/edge/metric-segments.js';
import { PreconditionFailed, type ObjectStore } from '../../../shared/store/store.js';

/** A store that keeps texts; while `isAway`, each put fails, or never ends. */
function createFakeStore() {
  const files = new Map<string, string>();
  const state = { away: 'no' as 'no' | 'failing' | 'silent' };
  const put: ObjectStore['put'] = async (key, body) => {
    if (state.away === 'failing') throw new Error('gone');
    if (state.away === 'silent') return new Promise(() => undefined);
    if (files.has(key)) throw new PreconditionFailed('x', key);
    files.set(key, Buffer.from(body).toString());
  };
  return { files, state, store: { put } as ObjectStore };
}

describe('metric segments', () => {
  it('keep lines that could not be written, and write them with the next', async () => {
    const { files, state, store } = createFakeStore();
    const notices: string[] = [];
    const segments = createMetricSegments(store, { onNotice: (text) => notices.push(text) });
    segments.add({ step: 1 });
    state.away = 'failing';
    await segments.write('a');
    assert.match(notices[0], /can't be written: gone/);
    state.away = 'no';
    segments.add({ step: 2 });
    await segments.write('b');
    assert.deepEqual([...files], [['metrics/b.jsonl', '{"step":1}\n{"step":2}\n']]);
  });

  it('are never written over another', async () => {
    const { files, store } = createFakeStore();
    for (const step of [1, 2]) {
      const segments = createMetricSegments(store);
      segments.add({ step });
      await segments.write('a');
    }
    assert.deepEqual([...files.keys()], ['metrics/a.jsonl', 'metrics/a-2.jsonl']);
  });

  it('hold nobody up while the store is silent, and are bounded', async () => {
    const { state, store } = createFakeStore();
    const notices: string[] = [];
    const onNotice = (text: string): void => void notices.push(text);
    const segments = createMetricSegments(store, { onNotice, maxLines: 3, writeWaitMs: 1 });
    state.away = 'silent';
    segments.add({ step: 0 });
    await segments.write('a');
    for (let step = 1; step < 10; step++) segments.add({ step });
    assert.equal(notices.length, 1);
    assert.match(notices[0], /oldest lines are dropped/);
  });
});
