// The lines that `lockstep train --json` and `resume --json` print, as the demo reads them. Keys
// that the demo has no use for, and kinds it does not know, are left alone.

import { z } from 'zod';

const step = z.int().min(0);
const figure = z.number();

const reportSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('run'), run: z.string() }),
  z.object({
    kind: z.literal('step'),
    step,
    last_step: step,
    images_per_s: figure.optional(),
    eta_s: figure.optional(),
  }),
  z.object({
    kind: z.literal('evaluation'),
    step,
    psnr: figure,
    ssim: figure,
    bicubic_psnr: figure,
    bicubic_ssim: figure,
    faces: z.int().optional(),
    sample_key: z.string(),
  }),
  z.object({ kind: z.literal('checkpoint'), step }),
  z.object({ kind: z.literal('failed'), reason: z.string().default('') }),
  z.object({
    kind: z.literal('finished'),
    run: z.string(),
    step,
    sha256: z.string(),
    world: z.int(),
    images_per_s: figure,
  }),
]);

export type Report = z.infer<typeof reportSchema>;
export type EvaluationReport = Extract<Report, { kind: 'evaluation' }>;
export type FinishedReport = Extract<Report, { kind: 'finished' }>;

const longestLine = 64 * 1024;

/** The report on a line; undefined for anything else. */
export function parseReport(line: string): Report | undefined {
  if (line.length > longestLine || !line.startsWith('{')) return undefined;
  try {
    return reportSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
