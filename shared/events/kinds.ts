// What can happen to a run: each type of event with the data that it carries. The same events go to
// the event bus, lie in the run's folder and make the pages that show a run. docs/events.md.

import { z } from 'zod';

const count = z.int().min(0);
const name = z.string().max(200);
const text = z.string().max(4096);
/** Seconds, or a rate a second. */
const amount = z.number().min(0);
/** JSON has no value for what is not finite, and writes null. */
const measured = z.number().nullable();
const sha256 = z.string().regex(/^([0-9a-f]{64})?$/);

const slowest = z.object({
  worker: name,
  phase: z.enum(['data', 'compute', 'exchange']),
  /** Seconds a step beyond the others. */
  excess_s: amount,
});

/** Seconds of a step. `wait` is the part of `exchange` in which one peer alone was awaited. */
const seconds = z.object({
  data: amount,
  compute: amount,
  exchange: amount,
  update: amount,
  wait: amount.optional(),
});

const workerView = z.object({
  worker: name,
  /** -1: not in the world. */
  rank: z.int().min(-1),
  stage: name,
  step: count,
  host: name,
  seconds,
  waited_for: name.nullable(),
  /** Bytes of the exchange in its last step. */
  sent_bytes: count,
  received_bytes: count,
  /** The peer whose link the exchange waits for, and what that brings; null: none is slow. */
  slow_link: z.object({ peer: name, bytes_per_s: amount }).nullable().optional(),
});

const ended = z.object({
  run: name,
  url: text,
  step: count,
  /** Of the parameters in the newest checkpoint; empty before the first. */
  sha256,
  world: count,
  images_per_s: amount,
  reason: text,
  exit_code: count,
});

/**
 * Every type of event, "<kind>.<name>", with its data. `kind` is the last token of the subject on
 * the bus; data may gain fields, and none change their meaning.
 */
export const eventData = {
  /** A coordinator leads the run from now on; again after each take-over and resume. */
  'run.started': z.object({
    run: name,
    url: text,
    term: count,
    step: count,
    last_step: count,
    /** The run halts after this step; the last one unless it was asked otherwise. */
    until: count,
    images_per_step: count,
    phases: z.array(z.object({ name, steps: count })).max(64),
    train_samples: count,
    test_samples: count,
    lease_transitions: count.optional(),
    /** Version of the program, and its commit where that is known. */
    lockstep: text.optional(),
  }),
  'run.finished': ended,
  'run.stopped': ended,
  'run.failed': ended,
  /** The networks' health has changed. */
  'run.judged': z.looseObject({
    generation: count,
    step: count,
    verdict: name,
    text,
  }),
  /** Something that an operator should know, for example that a store is away. */
  'run.noticed': z.object({ step: count, text }),
  /** The run is to have so many workers. */
  'run.scaled': z.object({ workers: count }),
  'world.formed': z.object({
    generation: count,
    step: count,
    reason: text,
    fingerprint: name,
    members: z
      .array(z.object({ rank: count, worker: name, incarnation: count, address: text }))
      .max(4096),
  }),
  /** A worker was taken out of the world. */
  'world.lost': z.object({ worker: name, reason: text, generation: count, silent_ms: count }),
  /** The world goes on from a step behind the newest; steps up to `from` are done again. */
  'world.rolledBack': z.object({ generation: count, step: count, from: count }),
  /** How the workers are, every few seconds while steps are taken. At most 256, slowest first. */
  'world.observed': z.object({
    generation: count,
    step: count,
    workers: z.array(workerView).max(256),
    straggler: slowest.nullable(),
  }),
  'step.committed': z.object({
    generation: count,
    step: count,
    phase: name,
    metrics: z.record(z.string(), measured),
    seconds,
    images_per_s: amount,
    eta_s: amount,
    /** Its gradients were not finite: the state stayed as it was. */
    skipped: z.literal(true).optional(),
    /** This coordinator has reported it already, before the run went back behind it. */
    redone: z.literal(true).optional(),
    straggler: slowest.optional(),
  }),
  'checkpoint.committed': z.object({ step: count, sha256, url: text }),
  /** The generator was judged on faces that training never sees, and a picture was stored. */
  'sample.written': z.object({
    generation: count,
    step: count,
    psnr: measured,
    ssim: measured,
    identity: measured.optional(),
    bicubic_psnr: measured,
    bicubic_ssim: measured,
    bicubic_identity: measured.optional(),
    faces: count,
    sample_key: text,
    url: text,
    redone: z.literal(true).optional(),
  }),
} as const;

/** "step.committed" */
export type EventType = keyof typeof eventData;

/** The data of a type of event. */
export type EventData<T extends EventType> = z.infer<(typeof eventData)[T]>;

/** The data of an event, known by its type. */
export type TypedEvent = {
  [T in EventType]: { readonly type: T; readonly data: EventData<T> };
}[EventType];
