// A picture that comes from another process, checked: it goes to a person's terminal.

import { z } from 'zod';
import { parseJson } from '../../shared/bounded-json.js';
import { eventData } from '../../shared/events/kinds.js';
import { printable } from '../../shared/problems.js';
import { lossCauses, type RunPicture } from './picture.js';

const count = z.int().min(0);
const amount = z.number();
const text = z.string().max(10_000).transform(printable);
const isoTime = z.iso.datetime().or(z.literal(''));
const observed = eventData['world.observed'].shape;

const happening = z.object({
  time: isoTime,
  step: count,
  kind: z.enum([
    ...(['started', 'term', 'world', 'joined', 'lost', 'drained', 'rolledBack'] as const),
    ...(['skipped', 'checkpoint', 'sample', 'scaled', 'notice', 'health'] as const),
    ...(['finished', 'stopped', 'failed'] as const),
  ]),
  text,
  worker: text.optional(),
});

const pictureSchema = z.object({
  ...{ run: text, url: text, reason: text, started: isoTime, time: isoTime },
  ...{ progressed: isoTime, phase: text },
  state: z.enum(['unknown', 'starting', 'running', 'finished', 'stopped', 'failed']),
  exit_code: count.optional(),
  ...{ step: count, last_step: count, until: count, images_per_step: count },
  phases: z.array(z.object({ name: text, steps: count })).max(64),
  ...{ term: count, generation: count, target: count, images_per_s: amount, eta_s: amount },
  metrics: z.record(text, z.number().nullable()),
  evaluation: eventData['sample.written'].extend({ time: isoTime }).optional(),
  best: z.object({ step: count, psnr: amount }).optional(),
  checkpoint: z.object({ step: count, sha256: text, time: isoTime }).optional(),
  workers: z.array(observed.workers.element).max(4096),
  straggler: observed.straggler,
  bytes_per_step: count,
  ...{ fingerprint: text, health: text },
  goodput: z.object({
    ...{ share: amount, wall_s: amount, useful_s: amount },
    lost_s: z.record(z.enum(lossCauses), amount),
  }),
  counts: z.object({
    ...{ worlds: count, joined: count, lost: count, drained: count, skipped: count },
    ...{ redone: count, checkpoints: count, terms: count },
  }),
  sample_steps: z.array(count).max(10_000),
  news: z.array(happening).max(1_000),
});

/** The picture of these bytes; undefined for what is none. */
export function parsePicture(bytes: Uint8Array): RunPicture | undefined {
  try {
    const { data } = pictureSchema.safeParse(parseJson(Buffer.from(bytes).toString()));
    return data;
  } catch {
    return undefined;
  }
}
