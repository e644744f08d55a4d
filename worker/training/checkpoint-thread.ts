// The thread that stores a snapshot: makes the memory that it is copied into, sums its parts up,
// puts them into the object store, and reports them to the coordinator, so that training never
// waits for a disk or a network.

import { parentPort, workerData } from 'node:worker_threads';
import { storePart } from '../../shared/checkpoint/write.js';
import { parametersSha256 } from '../../shared/checkpoint/digests.js';
import type { WorkerMessage } from '../../shared/control/messages.js';
import { messageOf } from '../../shared/problems.js';
import { openStore } from '../../shared/store/open-store.js';
import { giveWay } from '../../shared/thread-priority.js';
import type { FromSaver, SaverSetup } from './checkpoints.js';
import type { Snapshot } from './snapshot.js';

const { runUrl, storeOptions, room } = workerData as SaverSetup;
/** Of the system's memory. */
const pageBytes = 4096;

const port = parentPort;
if (port === null) throw new Error('the saver thread is started by the saver');
const answer = (message: FromSaver, transfer: readonly ArrayBuffer[] = []): void =>
  port.postMessage(message, transfer);
const report = (message: WorkerMessage): void => answer({ kind: 'tell', message });
// A store that is away makes it wait, and notifies the process by itself.
const store = openStore(runUrl, storeOptions);

const buffers = room.map(makeRoom);
answer({ kind: 'room', buffers }, buffers);
// A step may wait for the room, but for nothing that comes now.
giveWay();

port.on('message', (snapshot: Snapshot) => {
  save(snapshot).then(
    () => answer({ kind: 'stored' }),
    (error: unknown) => answer({ kind: 'failed', reason: messageOf(error) }),
  );
});

async function save({ step, stateDigest, parts, whole }: Snapshot): Promise<void> {
  for (const { name, body } of parts) {
    const record = await storePart(store, step, { name, body });
    report({ kind: 'partStored', step, stateDigest, ...record });
  }
  if (whole === undefined) return;
  report({ ...whole.report, parametersSha256: parametersSha256(whole.parameters) });
}

/** Memory that the system has really given: it does so a page at a time, when one is touched. */
function makeRoom(bytes: number): ArrayBuffer {
  const buffer = new ArrayBuffer(bytes);
  const view = new Uint8Array(buffer);
  for (let at = 0; at < bytes; at += pageBytes) view[at] = 0;
  return buffer;
}
