// The thread that stores snapshots: encodes parts, sums them up, puts them into the object store,
// and tells the coordinator, so that training never waits for a disk or a network.

import { parentPort, workerData } from 'node:worker_threads';
import { storePart } from '../../shared/checkpoint/commit.js';
import { parametersSha256 } from '../../shared/checkpoint/digest.js';
import { encodePart, partsOf } from '../../shared/checkpoint/parts.js';
import type { NetworkState } from '../../shared/checkpoint/state.js';
import type { WorkerMessage } from '../../shared/control/messages.js';
import { openStore } from '../../shared/store/open-store.js';
import type { FromSaver, SaverSetup, Snapshot } from './saver-messages.js';

const { networks, runUrl, storeOptions } = workerData as SaverSetup;
const port = parentPort;
if (port === null) throw new Error('the saver thread is started by the saver');
const answer = (message: FromSaver): void => port.postMessage(message);
const tell = (message: WorkerMessage): void => answer({ kind: 'tell', message });
const store = openStore(runUrl, storeOptions);

port.on('message', (snapshot: Snapshot) => {
  save(snapshot).then(
    () => answer({ kind: 'stored' }),
    (error: unknown) =>
      answer({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) }),
  );
});

async function save({ step, parts, states, updates, tellsSnapshot }: Snapshot): Promise<void> {
  const state = (network: string): NetworkState => ({
    ...states[network],
    updates: updates[network],
  });
  for (const part of parts) {
    const network = networks.find(({ name }) => name === part.network);
    if (network === undefined) throw new Error(`no network ${part.network}`);
    const record = await storePart(store, step, encodePart(part, network, state(network.name)));
    tell({ kind: 'partStored', step, ...record });
  }
  if (!tellsSnapshot) return;
  const ordered = networks.map(({ name }) => [name, state(name)] as const);
  tell({
    kind: 'snapshot',
    step,
    parts: partsOf(networks).map(({ name }) => name),
    parametersSha256: parametersSha256({ networks: Object.fromEntries(ordered) }),
    updates,
  });
}
