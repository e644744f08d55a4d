// The messages of the control plane as checked values: what a peer sent is bounded and validated
// here before any decision sees it. The wire form is proto/lockstep/v1/control.proto.

import { z } from 'zod';

/** Version of the control protocol; a worker of another version is refused. */
export const protocolVersion = 1;

const step = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const name = z.string().min(1).max(200);
const text = z.string().max(4096);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const seconds = z.number().min(0);
const address = z.string().regex(/^[^\s:]{1,253}:\d{1,5}$|^\[[0-9a-fA-F:.]+\]:\d{1,5}$/);

const hello = z.object({
  kind: z.literal('hello'),
  protocol: z.number().int(),
  worker: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/),
  incarnation: step,
  address,
  fingerprint: name,
});

const prepared = z.object({ kind: z.literal('prepared'), generation: step });

const progress = z.object({
  kind: z.literal('progress'),
  generation: step,
  step,
  activity: z.string().max(64),
});

const stepReport = z.object({
  kind: z.literal('stepReport'),
  step,
  phase: name,
  metrics: z.array(z.object({ name, value: z.number() })).max(256),
  dataS: seconds,
  computeS: seconds,
  exchangeS: seconds,
  updateS: seconds,
});

const evaluation = z.object({
  kind: z.literal('evaluation'),
  step,
  psnr: z.number(),
  ssim: z.number(),
  bicubicPsnr: z.number(),
  bicubicSsim: z.number(),
  faces: z.number().int().min(0),
  sampleKey: text,
  seconds,
});

const partStored = z.object({
  kind: z.literal('partStored'),
  step,
  name,
  file: name,
  bytes: step,
  sha256,
});

const snapshot = z.object({
  kind: z.literal('snapshot'),
  step,
  parts: z.array(name).min(1).max(256),
  parametersSha256: sha256,
  updates: z.record(name, step),
});

const halted = z.object({ kind: z.literal('halted'), step });
const suspicion = z.object({ kind: z.literal('suspicion'), worker: name, reason: text });
const failure = z.object({
  kind: z.literal('failure'),
  reason: text,
  exitCode: z.number().int().min(1).max(255),
});

/** What a worker tells the coordinator. */
export const workerMessageSchema = z.discriminatedUnion('kind', [
  hello,
  progress,
  stepReport,
  evaluation,
  partStored,
  snapshot,
  halted,
  suspicion,
  failure,
  prepared,
]);

const welcome = z.object({
  kind: z.literal('welcome'),
  runUrl: z.string().min(1).max(2048),
  record: z
    .string()
    .min(2)
    .max(1024 * 1024),
  heartbeatMs: z.number().int().min(10).max(60_000),
});

const world = z.object({
  kind: z.literal('world'),
  generation: z.number().int().min(1),
  members: z
    .array(z.object({ rank: step, worker: name, incarnation: step, address }))
    .min(1)
    .max(4096),
  step,
  until: step,
});

const connect = z.object({ kind: z.literal('connect'), generation: z.number().int().min(1) });
const requestStop = z.object({ kind: z.literal('requestStop'), reason: text });
const abort = z.object({ kind: z.literal('abort'), reason: text });
const save = z.object({
  kind: z.literal('save'),
  step,
  share: z.number().int().min(0),
  shares: z.number().int().min(1),
});
const end = z.object({
  kind: z.literal('end'),
  exitCode: z.number().int().min(0).max(255),
  reason: text,
});

/** What the coordinator tells a worker. */
export const coordinatorMessageSchema = z.discriminatedUnion('kind', [
  welcome,
  world,
  connect,
  requestStop,
  abort,
  save,
  end,
]);

export type WorkerMessage = z.infer<typeof workerMessageSchema>;
export type CoordinatorMessage = z.infer<typeof coordinatorMessageSchema>;
export type Hello = z.infer<typeof hello>;
export type StepReport = z.infer<typeof stepReport>;
export type EvaluationReport = z.infer<typeof evaluation>;
export type PartStored = z.infer<typeof partStored>;
export type SnapshotReport = z.infer<typeof snapshot>;
export type WorldMessage = z.infer<typeof world>;
