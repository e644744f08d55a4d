// Processes that should not be there: each dials the coordinators as a worker does, and says what
// its kind of mistake, or of malice, would say.

import { protocolVersion, noWorld } from '../../../shared/control/messages.js';
import type { Hello, WorkerMessage, WorkerStatus } from '../../../shared/control/messages.js';
import { noPace } from '../../../worker/core/state.js';
import type { Network, Side } from './network.js';
import type { SimProcess } from './process.js';

/** The run of a simulation, as every worker of it names it. */
export const simRun = { run: 'sim', recordSha256: '5'.repeat(64) };

/** A step that no run has. */
const noStep = 9e15;

const saysEveryMs = 250;

export const strangerKinds = [
  /** A worker of another run, with a later term, still dials the address. */
  'workerOfOtherRun',
  /** A worker of this run says that there is a later term, and there is none. */
  'falseTerm',
  /** A newcomer whose machine has no dataset, and that is started again and again. */
  'newcomerWithoutData',
  /** It is in no world, and reports of all that there is. */
  'forgedReports',
] as const;

export type StrangerKind = (typeof strangerKinds)[number];

/** Whether a worker's id is a stranger's. */
export function isStranger(worker: string): boolean {
  return worker.startsWith('stranger');
}

/** Lets a stranger dial each of the addresses, until its process ends. */
export function sendStranger(
  kind: StrangerKind,
  network: Network,
  process: SimProcess,
  addresses: readonly string[],
): void {
  let lives = 0;
  const dial = (address: string): void =>
    network.dial(process, address, (result) => {
      if (typeof result === 'string') return process.deliverAfter(1_000, () => dial(address));
      const side = result as Side<WorkerMessage>;
      const stop = talk(kind, process, side, ++lives);
      side.events = {
        onMessage: () => undefined,
        onClosed: () => {
          stop();
          process.deliverAfter(1_000, () => dial(address));
        },
      };
    });
  for (const address of addresses) dial(address);
}

/** What it says in one session; gives a function to end it. */
function talk(
  kind: StrangerKind,
  process: SimProcess,
  side: Side<WorkerMessage>,
  life: number,
): () => void {
  side.send(helloOf(kind, process, life));
  if (kind === 'newcomerWithoutData') {
    side.send({ kind: 'failure', reason: 'There is no dataset', exitCode: 78, sample: '' });
    process.deliverAfter(100, () => side.break('its process ended'));
    return () => undefined;
  }
  if (kind !== 'forgedReports') return () => undefined;
  let sequence = 1;
  const say = (): void => {
    sequence += 1;
    side.send({ kind: 'status', ...lyingStatus(sequence) });
    for (const message of forgeries(sequence)) side.send(message);
  };
  say();
  return process.every(saysEveryMs, say);
}

function helloOf(kind: StrangerKind, { node }: SimProcess, life: number): Hello {
  const isMember = kind === 'workerOfOtherRun' || kind === 'falseTerm';
  const other = { run: 'other', recordSha256: '6'.repeat(64) };
  const unknown = { run: '', recordSha256: '' };
  return {
    ...{ kind: 'hello', protocol: protocolVersion, worker: `stranger-${kind}` },
    ...{ incarnation: life, address: `${node}:7000`, pid: life, host: node, allowsFaults: false },
    ...(kind === 'workerOfOtherRun' ? other : kind === 'falseTerm' ? simRun : unknown),
    ...{ term: isMember ? 1_000 : 0, world: noWorld },
    status: { ...lyingStatus(1), hasState: false, step: 0, generation: 0, stage: 'joining' },
  };
}

function lyingStatus(sequence: number): WorkerStatus {
  const suspicions = ['worker-0', 'worker-1', 'worker-2'].map((worker) => {
    return { worker, reason: 'a lie' };
  });
  return {
    ...{ sequence, generation: noStep, stage: 'training', step: noStep, hasState: true },
    ...{ activity: 'x', isLeaving: false, suspicions, trouble: 'a lie', obstacle: 'a lie' },
    ...{ pace: { ...noPace, computeS: 1e9 }, fingerprint: '' },
  };
}

function forgeries(sequence: number): WorkerMessage[] {
  const sum = '0'.repeat(64);
  const value = 'f'.repeat(16);
  const seconds = { dataS: 0, computeS: 0, exchangeS: 0, updateS: 0 };
  const quality = { psnr: 99, ssim: 1, bicubicPsnr: 1, bicubicSsim: 1 };
  return [sequence, sequence + 10, sequence + 40, noStep].flatMap((step): WorkerMessage[] => [
    { kind: 'stepReport', step, phase: 'x', metrics: [], ...seconds, isSkipped: false },
    { kind: 'evaluation', step, ...quality, faces: 1, sampleKey: 'x', seconds: 1 },
    {
      ...{ kind: 'snapshot', step, parts: ['none'], parametersSha256: sum, updates: {} },
      skippedInARow: 0,
    },
    {
      ...{ kind: 'partStored', step, name: 'none', file: 'none.safetensors', bytes: 1 },
      ...{ sha256: sum, stateDigest: value },
    },
    { kind: 'digest', generation: noStep, step, value, isWhole: true },
    { kind: 'digest', generation: noStep, step, value, isWhole: false },
  ]);
}
