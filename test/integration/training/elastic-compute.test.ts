// Real compute sides (engine, loader, saver) of workers that come, die and come back, with an
// exchange that is a sum in this process: the parameters at the end are the reference trainer's.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { commitManifest } from '../../../shared/checkpoint/write.js';
import { parametersSha256 } from '../../../shared/checkpoint/digests.js';
import type {
  PartStored,
  SnapshotReport,
  WorkerMessage,
} from '../../../shared/control/messages.js';
import { foldTree, type TreeNode } from '../../../shared/plan/reduction.js';
import { specDigest } from '../../../shared/spec/compare.js';
import type { RunSpec } from '../../../shared/spec/schema.js';
import { openStore } from '../../../shared/store/open-store.js';
import type { StateHeader, ToCompute, ToNetwork } from '../../../worker/network/ports.js';
import { createCompute } from '../../../worker/training/compute.js';
import { subtreesOfRank } from '../../../worker/training/loop.js';
import { prepare, type PreparedRun } from '../../../worker/training/prepare.js';
import { testFolder } from '../../support/folder.js';
import { referenceSha256 } from '../../support/reference-trainer.js';
import { openBatches, packFaces } from '../../support/tiny-dataset.js';
import { tinyRun } from '../../support/tiny-run.js';
import { until } from '../../support/until.js';

const folder = testFolder();
let spec: RunSpec;

before(async () => {
  await packFaces(`file://${folder}/dataset`, folder);
  spec = tinyRun(`file://${folder}/dataset`, 5);
});

interface Worker {
  readonly run: PreparedRun;
  readonly told: ToNetwork[];
  send(message: ToCompute): void;
  close(): Promise<void>;
}

const open: Pick<Worker, 'close'>[] = [];

/** Loads the run; `onTold` sees all that the worker tells, as its network thread would. */
async function startWorker(
  name: string,
  onTold: (worker: Worker, message: ToNetwork) => void,
): Promise<Worker> {
  const told: ToNetwork[] = [];
  let run: PreparedRun | undefined;
  let worker: Worker | undefined = undefined;
  const send = (message: ToNetwork): void => {
    told.push(message);
    if (worker !== undefined) onTold(worker, message);
  };
  const options = {
    storeOptions: {},
    cacheMib: 16,
    maxThreads: 1,
    provider: undefined,
    warn: () => undefined,
  };
  const compute = createCompute({
    send,
    prepare: async (request) => (run = await prepare(request, { ...options, send })),
  });
  open.push(compute);
  const format = 'lockstep-run/1';
  const record = JSON.stringify({ format, run: name, spec, createdAt: new Date().toISOString() });
  compute.onMessage({ kind: 'prepare', runUrl: `file://${folder}/${name}`, record });
  await until(() => told.length > 0, 'an answer to prepare');
  assert.deepEqual(told, [{ kind: 'ready', fingerprint: run!.fingerprint }]);
  worker = { run: run!, told, send: compute.onMessage, close: compute.close };
  return worker;
}

/** The workers of a test, and an exchange among those that are in the world of now. */
function createCluster(name: string) {
  let generation = 0;
  let members: Worker[] = [];
  const asked = new Map<Worker, number>();
  let onTold: ((worker: Worker, message: ToNetwork) => void) | undefined;

  const reduce = (worker: Worker, step: number, floats: number): void => {
    asked.set(worker, step);
    if (asked.size < members.length || [...asked.values()].some((other) => other !== step)) return;
    const known = new Map<string, Float32Array>();
    members.forEach((member, rank) => {
      const { contributions } = vectorsOf(member);
      subtreesOfRank(spec, rank, members.length).forEach((node, i) =>
        known.set(key(node), contributions[i].slice(0, floats)),
      );
    });
    const sum = foldTree(
      { start: 0, end: spec.batch.microShards },
      (node) => known.get(key(node)),
      (left, right) => left.map((value, i) => value + right[i]),
    );
    const share = Math.fround(1 / spec.batch.microShards);
    asked.clear();
    for (const member of members) {
      vectorsOf(member).results[step % 2].set(sum.map((value) => value * share));
      member.send({ kind: 'reduced', step });
    }
  };
  return {
    start: (): Promise<Worker> =>
      startWorker(name, (worker, message) => {
        if (message.kind === 'reduce') reduce(worker, message.step, message.floats);
        onTold?.(worker, message);
      }),
    /** A new world of these workers; it ends after step `last`, or at what `isOver` waits for. */
    world: async (
      workers: { worker: Worker; source: 'own' | 'peer' | 'checkpoint' }[],
      step: number,
      last: number,
      isOver: (worker: Worker, message: ToNetwork) => boolean = () => false,
    ): Promise<void> => {
      generation++;
      onTold = (worker, message) => {
        if (!isOver(worker, message)) return;
        onTold = undefined;
        for (const member of members) member.send({ kind: 'abort', generation, reason: 'test' });
      };
      members = workers.map(({ worker }) => worker);
      asked.clear();
      const worldSize = members.length;
      const donor = workers.find(({ source }) => source === 'own')?.worker;
      for (const [rank, { worker, source }] of workers.entries()) {
        worker.send({ kind: 'enter', generation, rank, worldSize, step, source, donor: '' });
        if (source === 'peer') await transfer(donor!, worker, step);
      }
      await answers(members, 'entered', generation);
      for (const member of members) member.send({ kind: 'train', generation, until: last });
      await answers(members, 'halted', generation);
    },
    finish: async (worker: Worker, step: number): Promise<void> => {
      worker.send({ kind: 'finish', generation, step, share: 0, shares: 1 });
      await answers([worker], 'finished', generation);
    },
  };
}

const key = ({ start, end }: TreeNode): string => `${start}-${end}`;

function vectorsOf({ told }: Worker) {
  const entered = told.findLast((message) => message.kind === 'entered');
  if (entered?.kind !== 'entered') throw new Error('it is in no world');
  return entered.vectors;
}

async function answers(
  workers: readonly Worker[],
  kind: 'entered' | 'halted' | 'finished',
  generation: number,
): Promise<void> {
  for (const { told } of workers) {
    await until(() => told.some((m) => m.kind === kind && m.generation === generation), kind);
    assert.deepEqual(
      told.filter((message) => message.kind === 'failed'),
      [],
    );
  }
}

/** Carries the state from one worker to another, as their network threads would. */
async function transfer(from: Worker, to: Worker, step: number): Promise<void> {
  const fetches = (): number => to.told.filter(({ kind }) => kind === 'fetchState').length;
  await until(() => fetches() > 0, 'a fetch');
  from.send({ kind: 'serveState', request: 1, step });
  const header = from.told.at(-1);
  assert.ok(header?.kind === 'servedHeader', JSON.stringify(header));
  const { bytes }: StateHeader = header.header;
  to.send({ kind: 'stateHeader', header: header.header });
  const maxBytes = 100_000;
  for (let offset = 0; offset < bytes; offset += maxBytes) {
    from.send({ kind: 'serveMore', request: 1, offset, maxBytes });
    const chunk = from.told.at(-1);
    assert.ok(chunk?.kind === 'servedChunk');
    to.send({ kind: 'stateChunk', bytes: chunk.bytes });
  }
}

const sha256Of = ({ run }: Worker): string =>
  parametersSha256(run.task.networks.map(({ name }) => run.local.state.networks[name].parameters));

/** Makes a worker's last stored state a checkpoint, as the coordinator does. */
async function commit({ told }: Worker, name: string, step: number): Promise<void> {
  const tells: WorkerMessage[] = told.flatMap((m) => (m.kind === 'tell' ? [m.message] : []));
  const parts = tells.filter((m): m is PartStored => m.kind === 'partStored' && m.step === step);
  const snapshot = tells.find((m): m is SnapshotReport => m.kind === 'snapshot' && m.step === step);
  assert.ok(snapshot !== undefined && parts.length === snapshot.parts.length);
  assert.equal(new Set(parts.map(({ stateDigest }) => stateDigest)).size, 1);
  const store = openStore(`file://${folder}/${name}`);
  await commitManifest(store, {
    format: 'lockstep-checkpoint/1',
    run: name,
    step,
    spec,
    specSha256: specDigest(spec),
    datasetIndexSha256: 'a'.repeat(64),
    fingerprint: 'test',
    worldSize: 1,
    updates: snapshot.updates,
    parametersSha256: snapshot.parametersSha256,
    parts: parts.map((part) => ({
      name: part.name,
      file: part.file,
      bytes: part.bytes,
      sha256: part.sha256,
    })),
    createdAt: new Date().toISOString(),
  });
  await store.close();
}

test('worlds that are given up, joined late and resumed end with the reference’s bytes', async (t) => {
  t.after(() => Promise.all(open.map((worker) => worker.close())));
  const { batchOf, close } = await openBatches(spec);
  const expected = await referenceSha256(spec, 8, batchOf);
  await close();

  const name = 'elastic';
  const cluster = createCluster(name);
  const [a, b] = [await cluster.start(), await cluster.start()];
  // Two begin; the world is given up while one of them computes the third step.
  const both = [a, b].map((worker) => ({ worker, source: 'checkpoint' as const }));
  await cluster.world(both, 0, 8, (worker, message) => {
    if (worker !== b || message.kind !== 'activity') return false;
    return message.step === 2 && message.activity === 'compute';
  });
  assert.deepEqual([a.run.local.state.step, b.run.local.state.step], [2, 2]);

  // One of them goes on alone, into the second phase.
  await cluster.world([{ worker: a, source: 'own' }], 2, 5);

  // The other one, behind, and a third one, new, take its state.
  const c = await cluster.start();
  const three = [
    { worker: c, source: 'peer' as const },
    { worker: b, source: 'peer' as const },
    { worker: a, source: 'own' as const },
  ];
  await cluster.world(three, 5, 7);
  await cluster.finish(a, 7);
  await commit(a, name, 7);

  // A fourth one reads the checkpoint; the third had it all the time.
  const d = await cluster.start();
  const last = [
    { worker: c, source: 'own' as const },
    { worker: d, source: 'checkpoint' as const },
  ];
  await cluster.world(last, 7, 8);
  assert.equal(sha256Of(c), expected);
  assert.equal(sha256Of(d), expected);
});
