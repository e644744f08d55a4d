// A snapshot: this worker's share of a checkpoint, copied out of the state piece by piece, so that
// the next step is computed meanwhile; and the digest of the whole state, which is taken of the
// same pieces while they are at hand. The state must not change before the last one.

import { setImmediate } from 'node:timers/promises';
import { createStateDigest, type ReadRange } from '../../shared/checkpoint/digests.js';
import {
  formOfPart,
  partsOf,
  partsOfShare,
  type EncodedPart,
  type PartForm,
} from '../../shared/checkpoint/parts.js';
import { floatsOf, vectorPlaces, type Counters } from '../../shared/checkpoint/state.js';
import type { SnapshotReport } from '../../shared/control/messages.js';
import type { NetworkSpec } from '../../shared/layout.js';
import type { Step } from '../../shared/words.js';

/** What a share consists of, and so how much room a snapshot of it needs. */
export interface SnapshotPlan {
  readonly networks: readonly NetworkSpec[];
  /** The files to store. */
  readonly parts: readonly PartForm[];
  /** With the first share: the names of all parts of the checkpoint. */
  readonly whole: readonly string[] | undefined;
  /** With the first share: the networks whose parameters lie in none of its parts. */
  readonly extra: readonly NetworkSpec[];
  /** Bytes of the buffers to copy into: of each part, then of each extra network's parameters. */
  readonly room: readonly number[];
}

/** A share of a checkpoint, copied out of the state. */
export interface Snapshot {
  readonly step: Step;
  /** Digest of the whole state. */
  readonly stateDigest: string;
  /** The files to store. */
  readonly parts: readonly EncodedPart[];
  /** With the first share: what the whole checkpoint consists of, for the coordinator. */
  readonly whole: WholeCheckpoint | undefined;
}

interface WholeCheckpoint {
  readonly report: Omit<SnapshotReport, 'parametersSha256'>;
  /** All parameters, network by network, for their sum. */
  readonly parameters: readonly Float32Array[];
}

/** Plans the snapshots of share `share` of `shares`. */
export function planSnapshot(
  networks: readonly NetworkSpec[],
  share: number,
  shares: number,
): SnapshotPlan {
  const plans = partsOf(networks);
  const own = partsOfShare(plans, share, shares);
  const parts = own.map((plan) => formOfPart(plan, networks));
  const isFirst = share === 0;
  const hasParameters = (network: string): boolean =>
    own.some((plan) => plan.network === network && plan.kind === 'parameters');
  const extra = isFirst ? networks.filter(({ name }) => !hasParameters(name)) : [];
  return {
    ...{ networks, parts, extra },
    whole: isFirst ? plans.map(({ name }) => name) : undefined,
    room: [
      ...parts.map(({ bytes }) => bytes),
      ...extra.map(({ parameters }) => 4 * floatsOf(parameters)),
    ],
  };
}

/** Floats that are copied at a time: a millisecond's work, after which messages are let in. */
const pieceFloats = 2 ** 20;

/** Copies a share out of the state into the plan's room, piece by piece. */
export async function takeSnapshot(
  plan: SnapshotPlan,
  counters: Counters,
  readRange: ReadRange,
  room: readonly ArrayBuffer[],
  floatsAtATime = pieceFloats,
): Promise<Snapshot> {
  const copies = copiesIn(plan, room);
  const digest = createStateDigest(plan.networks, counters);
  for (const { network, vector, start, end } of vectorPlaces(plan.networks)) {
    const into = copies.get(`${network}/${vector}`) ?? [];
    for (let at = start; at < end; at += floatsAtATime) {
      let offset = at - start;
      for (const piece of await readRange(at, Math.min(at + floatsAtATime, end))) {
        digest.take(piece);
        for (const copy of into) copy.set(piece, offset);
        offset += piece.length;
      }
      await setImmediate();
    }
  }
  return snapshotIn(plan, counters, digest.value(), room, copies);
}

/** Where each vector is copied to, by "<network>/<vector>"; the heads of the files are there. */
function copiesIn(
  { parts, extra }: SnapshotPlan,
  room: readonly ArrayBuffer[],
): ReadonlyMap<string, Float32Array[]> {
  const copies = new Map<string, Float32Array[]>();
  const add = (name: string, copy: Float32Array): void =>
    void copies.set(name, [...(copies.get(name) ?? []), copy]);
  for (const [i, { network, head, vectors, bytes }] of parts.entries()) {
    new Uint8Array(room[i]).set(head);
    const floats = (bytes - head.length) / 4 / vectors.length;
    for (const { vector, at } of vectors)
      add(`${network}/${vector}`, new Float32Array(room[i], at, floats));
  }
  for (const [i, { name }] of extra.entries())
    add(`${name}/parameters`, new Float32Array(room[parts.length + i]));
  return copies;
}

function snapshotIn(
  { networks, parts, whole }: SnapshotPlan,
  counters: Counters,
  stateDigest: string,
  room: readonly ArrayBuffer[],
  copies: ReadonlyMap<string, readonly Float32Array[]>,
): Snapshot {
  const bodies = parts.map(({ name }, i) => ({ name, body: new Uint8Array(room[i]) }));
  const snapshot = { step: counters.step, stateDigest, parts: bodies };
  if (whole === undefined) return { ...snapshot, whole };
  const parameters = networks.flatMap(({ name }) => copies.get(`${name}/parameters`) ?? []);
  const updates = Object.fromEntries(
    networks.map(({ name }) => [name, counters.updates[name] ?? 0] as const),
  );
  const report = { kind: 'snapshot' as const, parts: [...whole], ...counters, updates };
  return { ...snapshot, whole: { report, parameters } };
}
