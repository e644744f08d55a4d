// The manifest of a checkpoint: which run and step it is, and the size and sum of every part. And
// where a checkpoint lies below its run's url.

import { z } from 'zod';
import { firstIssue } from '../problems.js';
import { sha256Of } from '../sha256.js';
import { canonicalJson } from '../spec/compare.js';
import { runSpecSchema } from '../spec/schema.js';
import type { Step } from '../words.js';
import { parseJson } from '../bounded-json.js';

/** All checkpoints of a run. */
export const checkpointsPrefix = 'checkpoints/';

/** "checkpoints/step-00000100/" */
export function checkpointPrefix(step: Step): string {
  return `${checkpointsPrefix}step-${String(step).padStart(8, '0')}/`;
}

/** The manifest of a checkpoint: written last, and with it the checkpoint exists. */
export function manifestKey(step: Step): string {
  return `${checkpointPrefix(step)}manifest.json`;
}

/** The file name of a part. */
export function partFile(name: string): string {
  return `${name}.safetensors`;
}

/** Which checkpoint, and which file of it, a key is; undefined for anything else. */
export function parseCheckpointKey(key: string): { step: Step; file: string } | undefined {
  const match = /^checkpoints\/step-(\d{8,15})\/([^/]+)$/.exec(key);
  if (!match) return undefined;
  const step = Number(match[1]);
  return checkpointPrefix(step) + match[2] === key ? { step, file: match[2] } : undefined;
}

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, '64 hexadecimal digits');
const count = z.int().min(0);

/** A part as it lies in the store. `file` is below the checkpoint's folder. */
const partRecordSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9-]{1,80}$/),
  file: z.string().regex(/^[a-z0-9-]{1,80}\.safetensors$/),
  bytes: count,
  sha256,
});

export type PartRecord = z.infer<typeof partRecordSchema>;

const manifestSchema = z
  .strictObject({
    format: z.literal('lockstep-checkpoint/1'),
    run: z.string().min(1).max(200),
    step: count,
    spec: runSpecSchema,
    specSha256: sha256,
    datasetIndexSha256: sha256,
    /** What changed the bytes besides the spec: the engine, its version and so on. */
    fingerprint: z.string().max(1000),
    /** Workers that wrote it; no part depends on it. */
    worldSize: z.int().min(1),
    /** Optimizer updates applied to each network. */
    updates: z.record(z.string().max(80), count),
    /** Steps in a row, up to this one, whose gradients were not finite; left out for none. */
    skippedInARow: count.optional(),
    /** Over all parameters of all networks (digests.ts). */
    parametersSha256: sha256,
    parts: z.array(partRecordSchema).min(1).max(256),
    createdAt: z.iso.datetime(),
  })
  .refine(({ parts }) => new Set(parts.map(({ file }) => file)).size === parts.length, {
    path: ['parts'],
    message: 'two parts are one file',
  });

export type CheckpointManifest = z.infer<typeof manifestSchema>;

/** Longest manifest that is parsed. */
const maxManifestBytes = 1024 * 1024;

/** What is read of a manifest: one byte more shows that it is too long. */
export const manifestRange = { start: 0, end: maxManifestBytes + 1 } as const;

/** The manifest's bytes in the store, with a sum over all of it. */
export function encodeManifest(manifest: CheckpointManifest): Buffer {
  const checked = manifestSchema.parse(manifest);
  const summed = { ...checked, manifestSha256: sha256Of(canonicalJson(checked)) };
  return Buffer.from(`${JSON.stringify(summed, null, 2)}\n`);
}

/** Parses the bytes of the manifest of checkpoint `step`; in words, why they are none. */
export function parseManifest(body: Buffer, step: number): CheckpointManifest | string {
  if (body.length > maxManifestBytes) return `its manifest has over ${maxManifestBytes} bytes`;
  let value: unknown;
  try {
    value = parseJson(body.toString('utf8'));
  } catch {
    return 'its manifest is not JSON';
  }
  // Manifests of earlier versions have no sum.
  const { manifestSha256, ...rest } = Object(value) as { readonly manifestSha256?: unknown };
  const parsed = manifestSchema.safeParse(rest);
  if (!parsed.success) return `its manifest is not valid: ${firstIssue(parsed.error)}`;
  // Over what was written: parsing adds the defaults of keys that came later.
  if (manifestSha256 !== undefined && manifestSha256 !== sha256Of(canonicalJson(rest)))
    return 'its manifest has other bytes than its sum says';
  if (parsed.data.step !== step) return `its manifest is of step ${parsed.data.step}`;
  return parsed.data;
}

/** Whether two manifests are of the same state: all but when and by how many it was written. */
export function isSameCheckpoint(a: CheckpointManifest, b: CheckpointManifest): boolean {
  return identityOf(a) === identityOf(b);
}

function identityOf(manifest: CheckpointManifest): string {
  const parts = [...manifest.parts].sort((a, b) => (a.name < b.name ? -1 : 1));
  const skippedInARow = manifest.skippedInARow ?? 0;
  const others = { createdAt: undefined, worldSize: undefined };
  return canonicalJson({ ...manifest, parts, skippedInARow, ...others });
}
