// Another framework's program that measures the same as a bench does: a command of the operator's,
// to which the bench adds its counts, and whose last line is what it found, as JSON.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { z } from 'zod';

/** Names of flags with their values, in order: `{ batch: 8 }` is `--batch 8`. */
export type PeerCounts = Readonly<Record<string, number>>;

const timeoutMs = 600_000;

/**
 * Runs `program` with `args` and `counts` and parses the last line that it prints. Throws with what
 * it said where it fails, and where the line is not what `schema` describes.
 */
export async function runPeer<T>(
  [program = '', ...args]: readonly string[],
  counts: PeerCounts,
  schema: z.ZodType<T>,
): Promise<T> {
  const flags = Object.entries(counts).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { stdout } = await promisify(execFile)(program, [...args, ...flags], {
    timeout: timeoutMs,
  });
  return schema.parse(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''));
}
