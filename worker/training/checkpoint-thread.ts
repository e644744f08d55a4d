// The thread that stores a snapshot: sums its parts up, puts them into the object store, and
// reports them to the coordinator, so that training never waits for a disk or a network.

import { parentPort, workerData } from 'node:worker_threads';
import { storePart } from '../../shared/checkpoint/write.js';
import { parametersSha256 } from '../../shared/checkpoint/digests.js';
import type { WorkerMessage } from '../../shared/control/messages.js';
import { messageOf } from '../../shared/problems.js';
import { openStore } from '../../shared/store/open-store.js';
import type { FromSaver, SaverSetup, Snapshot } from './checkpoints.js';

const { runUrl, storeOptions } = workerData as SaverSetup;
const port = parentPort;
if (port === null) throw new Error('the saver thread is started by the saver');
const answer = (message: FromSaver): void => port.postMessage(message);
const report = (message: WorkerMessage): void => answer({ kind: 'tell', message });
// A store that is away makes it wait, and notifies the process by itself.
const store = openStore(runUrl, storeOptions);

port.on('message', (snapshot: Snapshot) => {
  save(snapshot).then(
    () => answer({ kind: 'stored' }),
    (error: unknown) => answer({ kind: 'failed', reason: messageOf(error) }),
  );
});

async function save({ step, stateDigest, parts, whole }: Snapshot): Promise<void> {
  for (const { name, body } of parts) {
    // A buffer comes out of a message as plain bytes.
    const part = { name, body: Buffer.from(body.buffer, body.byteOffset, body.byteLength) };
    const record = await storePart(store, step, part);
    report({ kind: 'partStored', step, stateDigest, ...record });
  }
  if (whole === undefined) return;
  report({ ...whole.report, parametersSha256: parametersSha256(whole.parameters) });
}
