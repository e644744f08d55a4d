// Pictures from a run's folder whose store does not answer: they end when they are told to, and the
// reader with them.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { folderPictures, type Watched } from '../../../cli/watch/pictures.js';
import { createScreenView } from '../../../cli/watch/views.js';
import type { ObjectInfo, ObjectStore } from '../../../shared/store/store.js';
import { until } from '../../support/until.js';
import { longStory } from '../../support/watch/run-story.js';

const key = 'events/term-000001-000001.jsonl';
const body = Buffer.from(
  longStory(3)
    .map((event) => `${JSON.stringify(event)}\n`)
    .join(''),
);

/** A store with one segment of events, which is listed as `list` says. */
function storeOf(list: () => AsyncIterable<ObjectInfo>): ObjectStore {
  return { list, get: () => Promise.resolve(body) } as unknown as ObjectStore;
}

function watchedWith(signal: AbortSignal): Watched {
  return { url: 'file:///r', run: 'r', signal, onNotice: () => undefined };
}

describe("pictures from a run's folder", () => {
  it('end at once when they are told to, though the store never answers', async () => {
    const ending = new AbortController();
    const silent = storeOf(async function* () {
      ending.abort();
      await new Promise(() => undefined);
      yield { key, bytes: 0 };
    });
    for await (const picture of folderPictures(silent, watchedWith(ending.signal)))
      assert.fail(`a picture: ${picture.state}`);
  });

  it('end with the reason when the first look fails', async () => {
    const { signal } = new AbortController();
    const failing = storeOf(() => {
      throw new Error('no such bucket');
    });
    await assert.rejects(folderPictures(failing, watchedWith(signal)).next(), /no such bucket/);
  });

  it('leave no reader behind when nobody wants more', async () => {
    const { signal } = new AbortController();
    const timers = (): number =>
      process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    const store = storeOf(async function* () {
      yield { key, bytes: body.length };
    });
    for await (const picture of folderPictures(store, watchedWith(signal))) {
      assert.equal(picture.step, 3);
      break;
    }
    await until(() => timers() <= before, 'the reader has ended', 1_000);
  });
});

it('a remark before the first picture goes to stderr, where a screen has no place yet', (t) => {
  const said: string[] = [];
  t.mock.method(process.stderr, 'write', (text: string) => said.push(text) > 0);
  const nothing = (): void => undefined;
  const terminal = { columns: 80, rows: 24, write: nothing, on: nothing, off: nothing };
  const view = createScreenView(terminal);
  view.notice("the run's folder can't be read");
  view.close();
  assert.deepEqual(said, ["the run's folder can't be read\n"]);
});
