// The picture of a run is the same from its coordinator while it leads, from the run's folder and
// from JetStream's history alone, for the same newest event.

import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { ParsedEvent } from '../../shared/events/bus.js';
import { readEvents } from '../../shared/events/event-log.js';
import { readNatsEvents } from '../../shared/events/nats-history.js';
import { openStore } from '../../shared/store/open-store.js';
import { createRunHistory } from '../../watch/history/history.js';
import type { RunPicture } from '../../watch/history/picture.js';
import { lastLineOf, startLockstep } from '../support/lockstep-command.js';
import { skipWithout, startNatsServer } from '../support/servers.js';
import { testFolder, writeRuns } from '../support/tiny-run.js';

test('one picture from everywhere', { skip: skipWithout('nats-server') }, async () => {
  const folder = testFolder();
  const { url, close } = await startNatsServer();
  try {
    await writeRuns(folder, { run: {} });
    const common = ['--run', 'seen', '--json', '--nats', url];
    const args = ['train', '-f', 'run.yaml', '--workers', '2', ...common];
    const training = startLockstep(args, folder);
    await training.line('step');
    const watching = startLockstep(['watch', 'seen', '--json', '--from', 'coordinator'], folder);
    assert.equal((await training.result).code, 0);
    const seen = (await watching.result).lines as unknown as RunPicture[];
    assert.ok(seen.length > 0, (await watching.result).stderr);

    const store = openStore(`file://${join(folder, 'runs/seen')}`);
    const fromFolder = await picturesOf(readEvents(store));
    const fromBus = await picturesOf(readNatsEvents({ url, run: 'seen' }));
    await store.close();
    assert.deepEqual(fromBus, fromFolder);
    // Several events may have come within a millisecond.
    for (const picture of seen) {
      const same = fromFolder.filter(({ time }) => time === picture.time);
      if (!same.some((one) => isDeepStrictEqual(one, picture)))
        assert.deepEqual(picture, same.at(-1));
    }

    const shown = await lastLineOf(['watch', 'seen', '--once'], folder);
    await rm(join(folder, 'runs'), { recursive: true });
    assert.deepEqual(await lastLineOf(['watch', 'seen', '--nats', url], folder), shown);
    assert.equal(shown['state'], 'finished');
  } finally {
    await close();
  }
});

/** The picture after each event, as JSON has it. */
async function picturesOf(events: AsyncIterable<ParsedEvent>): Promise<RunPicture[]> {
  const history = createRunHistory();
  const pictures: RunPicture[] = [];
  for await (const event of events)
    if (history.add(event)) pictures.push(JSON.parse(JSON.stringify(history.picture())));
  return pictures;
}
