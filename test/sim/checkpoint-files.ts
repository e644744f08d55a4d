// Checkpoints in the simulated object store: parts, and a manifest with their sums, written last
// and only if there is none.

import type { PartStored, SnapshotReport } from '../../shared/control/messages.js';
import type { ObjectDisk } from './machines/disk.js';
import type { SimProcess, Task } from './machines/process.js';
import { sha256, type TrainingState } from './training-state.js';

/** The parts of a state; which worker stores which is arithmetic. */
export const partNames = ['discriminator', 'generator', 'generator-adam', 'statistics'] as const;

export interface Manifest {
  readonly step: number;
  readonly parametersSha256: string;
  readonly parts: readonly { readonly name: string; readonly sha256: string }[];
}

export function folderOf(step: number): string {
  return `checkpoints/step-${String(step).padStart(8, '0')}/`;
}

/** Step of a key below checkpoints/. */
export function stepOf(key: string): number {
  return Number(/step-(\d+)\//.exec(key)?.[1]);
}

/** Bytes of a part: the digest and the values that fall to it. */
export function encodePart(name: string, state: TrainingState): string {
  const index = partNames.findIndex((part) => part === name);
  const values = state.values.filter((_, i) => i % partNames.length === index);
  return JSON.stringify({ name, step: state.step, digest: state.digest, values });
}

/** The state that parts make up, in the order of their names. */
export function decodeParts(bodies: readonly string[]): TrainingState {
  const parts = bodies.map((body) => JSON.parse(body) as TrainingState);
  const count = parts.reduce((sum, { values }) => sum + values.length, 0);
  const values = Array.from(
    { length: count },
    (_, i) => parts[i % parts.length].values[Math.floor(i / parts.length)],
  );
  return { step: parts[0].step, digest: parts[0].digest, values };
}

/** The sum over the parameters, as a snapshot reports it. */
export function parametersSum(state: TrainingState): string {
  return sha256(partNames.map((name) => encodePart(name, state)).join());
}

export function partsOfShare(share: number, shares: number): string[] {
  return partNames.filter((_, i) => i % shares === share);
}

/** Stores one part of a snapshot; what the coordinator has to know of it. */
export function* storePart(
  disk: ObjectDisk,
  process: SimProcess,
  state: TrainingState,
  name: string,
): Task<PartStored> {
  const body = encodePart(name, state);
  const file = `${name}.safetensors`;
  yield* disk.put(process, folderOf(state.step) + file, body);
  const { step, digest: stateDigest } = state;
  const sums = { bytes: body.length, sha256: sha256(body), stateDigest };
  return { kind: 'partStored', step, name, file, ...sums };
}

/** Writes the manifest; false when there is another one already. */
export function* commitManifest(
  disk: ObjectDisk,
  process: SimProcess,
  { step, parametersSha256 }: SnapshotReport,
  parts: readonly PartStored[],
): Task<boolean> {
  const records = parts.map((part) => ({ name: part.name, sha256: part.sha256 }));
  const body = JSON.stringify({ step, parametersSha256, parts: records });
  const key = `${folderOf(step)}manifest.json`;
  if (yield* disk.putIfAbsent(process, key, body)) return true;
  const there = yield* disk.get(process, key);
  if (there === undefined) return yield* disk.putIfAbsent(process, key, body);
  return (JSON.parse(there) as Manifest).parametersSha256 === parametersSha256;
}

/** Reads a checkpoint, or says what is wrong with it. */
export function* readCheckpoint(
  disk: ObjectDisk,
  process: SimProcess,
  step: number,
  verifiesSums: boolean,
): Task<TrainingState | string> {
  const folder = folderOf(step);
  const manifest = parseManifest(yield* disk.get(process, `${folder}manifest.json`));
  if (manifest === undefined) return 'it has no manifest';
  const bodies: string[] = [];
  for (const part of manifest.parts) {
    const body = yield* disk.get(process, `${folder}${part.name}.safetensors`);
    const isTorn = verifiesSums && body !== undefined && sha256(body) !== part.sha256;
    if (body === undefined || isTorn) return `${part.name} is torn`;
    bodies.push(body);
  }
  return decodeParts(bodies);
}

function parseManifest(body: string | undefined): Manifest | undefined {
  if (body === undefined) return undefined;
  try {
    return JSON.parse(body) as Manifest;
  } catch {
    return undefined;
  }
}

/** The newest whole checkpoint's step, or 0; deletes, if asked to, what is torn above it. */
export function* newestWhole(
  disk: ObjectDisk,
  process: SimProcess,
  verifiesSums: boolean,
  discards: boolean,
): Task<number> {
  const keys = yield* disk.list(process, 'checkpoints/');
  const steps = [...new Set(keys.map(stepOf))].sort((a, b) => b - a);
  for (const step of steps) {
    if (typeof (yield* readCheckpoint(disk, process, step, verifiesSums)) !== 'string') return step;
    // The manifest alone is in the way: parts may have been reported, and are the same bytes
    // whoever writes them again.
    if (discards) yield* disk.delete(process, `${folderOf(step)}manifest.json`);
  }
  return 0;
}
