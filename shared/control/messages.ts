// The messages of the control plane as checked values: what a peer sent is bounded and validated
// here before any decision sees it. The wire form is proto/lockstep/v1/control.proto.

import { z } from 'zod';
import { printable } from '../problems.js';

/**
 * Version of the control protocol, and of what a worker does with a reduced vector: one of another
 * version is refused, since their states would come apart.
 */
export const protocolVersion = 7;

/** Most workers of a run. */
export const maxWorkers = 4096;

/** Most lanes of a worker's exchange: threads, each with a port and connections of its own. */
export const maxLanes = 8;

const step = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const generation = step;
/** Text for people: whoever sent it, it can be shown. */
const textOf = (length: number) => z.string().max(length).transform(printable);
const name = z.string().min(1).max(200).transform(printable);
const text = textOf(4096);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const sha256OrNone = sha256.or(z.literal(''));
/** A file of a checkpoint, right in its folder. */
const fileName = z.string().regex(/^[a-z0-9-]{1,80}\.safetensors$/);
const digestValue = z.string().regex(/^[0-9a-f]{16}$/);
const seconds = z.number().min(0);
/** A measured value: a loss may well be no number, or infinite. */
const measured = z
  .number()
  .or(z.nan())
  .or(z.literal([Infinity, -Infinity]));
const address = z.string().regex(/^[^\s:]{1,253}:\d{1,5}$|^\[[0-9a-fA-F:.]+\]:\d{1,5}$/);
/** Of the lanes beside the first. */
const lanes = z
  .array(address)
  .max(maxLanes - 1)
  .readonly()
  .optional();
/** A name and no path: nobody is led to another file than a socket of ours. */
const socket = z
  .string()
  .regex(/^[0-9a-f]{32}$/)
  .optional();
/** A worker's id. */
export const workerIdPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const workerId = z.string().regex(workerIdPattern);

/** Where a worker is in the life of a world; all but the first two are about its world. */
const workerStages = [
  /** Waits for the coordinator, or loads task, data and engine of the run. */
  'joining',
  /** Could be part of a world. */
  'ready',
  /** Takes the state that the world starts from. */
  'entering',
  /** Has it, and waits until all have. */
  'entered',
  /** Connects to its peers. */
  'connecting',
  'training',
  /** Gives up what it is doing in this world. */
  'aborting',
  /** Trains no further in this world; its state is that of its step. */
  'halted',
  /** Stores and judges the state after the last step. */
  'finishing',
  'finished',
] as const;

/** Seconds of a worker's last step, and bytes of its exchange. */
export const paceSchema = z.object({
  dataS: seconds,
  computeS: seconds,
  exchangeS: seconds,
  updateS: seconds,
  waitedFor: textOf(200),
  waitedS: seconds,
  sentBytes: step,
  receivedBytes: step,
  /** The peer whose link the exchange waited for, and what that brought; only if it was slow. */
  slowLink: textOf(200).optional(),
  linkBytesPerS: z.number().min(0).optional(),
});

const statusFields = {
  sequence: step,
  generation,
  stage: z.enum(workerStages),
  step,
  hasState: z.boolean(),
  activity: textOf(64),
  isLeaving: z.boolean(),
  suspicions: z.array(z.object({ worker: name, reason: text })).max(maxWorkers),
  trouble: text,
  obstacle: text,
  pace: paceSchema,
  /** Empty until the run is loaded. */
  fingerprint: textOf(200),
};
const status = z.object({ kind: z.literal('status'), ...statusFields });

const worldFields = {
  generation,
  members: z
    .array(z.object({ rank: step, worker: workerId, incarnation: step, address, lanes, socket }))
    .max(maxWorkers)
    .readonly(),
  step,
  until: step,
  /** Where the worker that gets the message takes the state at `step` from. */
  source: z.enum(['own', 'peer', 'checkpoint']),
  /** "host:port" of the exchange server of the peer; empty for the other sources. */
  donor: textOf(300),
};

const hello = z.object({
  kind: z.literal('hello'),
  protocol: z.number().int(),
  worker: workerId,
  incarnation: step,
  address,
  lanes,
  socket,
  pid: step,
  host: textOf(253),
  term: step,
  /** The run that it belongs to, by id and by its record; empty until it was welcomed. */
  run: textOf(200),
  recordSha256: sha256OrNone,
  status: z.object(statusFields),
  /** Generation 0: in no world. */
  world: z.object(worldFields),
  /** It obeys `fault`. */
  allowsFaults: z.boolean(),
});

const stepReport = z.object({
  kind: z.literal('stepReport'),
  step,
  phase: name,
  metrics: z.array(z.object({ name, value: measured })).max(256),
  dataS: seconds,
  computeS: seconds,
  exchangeS: seconds,
  updateS: seconds,
  isSkipped: z.boolean(),
  /** The part of `exchangeS` in which one peer alone was awaited. */
  waitedS: seconds.optional(),
});

const evaluation = z.object({
  kind: z.literal('evaluation'),
  step,
  psnr: measured,
  ssim: measured,
  bicubicPsnr: measured,
  bicubicSsim: measured,
  identity: measured.optional(),
  bicubicIdentity: measured.optional(),
  faces: z.number().int().min(0),
  sampleKey: text,
  seconds,
});

const partStored = z.object({
  kind: z.literal('partStored'),
  step,
  name,
  file: fileName,
  bytes: step,
  sha256,
  /** Digest of the whole state that the part was taken from. */
  stateDigest: digestValue,
});

const snapshot = z.object({
  kind: z.literal('snapshot'),
  step,
  parts: z.array(name).min(1).max(256),
  parametersSha256: sha256,
  updates: z.record(name, step),
  /** Steps in a row, up to this one, whose gradients were not finite. */
  skippedInARow: step,
});

const digest = z.object({
  kind: z.literal('digest'),
  generation,
  step,
  value: digestValue,
  /** Of the whole state, sent with a checkpoint; else of what changed lately. */
  isWhole: z.boolean(),
});

const failure = z.object({
  kind: z.literal('failure'),
  reason: text,
  exitCode: z.number().int().min(1).max(255),
  /** Key of the sample that is not what the index says; empty: another failure. */
  sample: z.string().max(512),
});

/** What a worker sends to the coordinator. */
export const workerMessageSchema = z.discriminatedUnion('kind', [
  hello,
  status,
  stepReport,
  evaluation,
  partStored,
  snapshot,
  digest,
  failure,
]);

const welcome = z.object({
  kind: z.literal('welcome'),
  term: step,
  runUrl: z.string().min(1).max(2048),
  run: z.string().min(1).max(200),
  recordSha256: sha256,
  othersTrain: z.boolean(),
  record: z
    .string()
    .min(2)
    .max(1024 * 1024),
});

const world = z.object({ kind: z.literal('world'), ...worldFields });
const connect = z.object({ kind: z.literal('connect'), generation });
const vote = z.object({ kind: z.literal('vote'), generation, reason: text });
const abort = z.object({ kind: z.literal('abort'), generation, reason: text });
const finish = z.object({
  kind: z.literal('finish'),
  generation,
  step,
  share: z.number().int().min(0),
  shares: z.number().int().min(1),
});
const checkpointed = z.object({ kind: z.literal('checkpointed'), step });

/** See Trap in control.proto. */
const trap = z.object({
  signal: z.enum(['SIGKILL', 'SIGSTOP', 'SIGTERM']),
  activity: z.enum([
    ...(['compile', 'data', 'compute', 'exchange', 'update'] as const),
    ...(['enter', 'take', 'serve', 'connect', 'save', 'finish'] as const),
  ]),
  step,
});
const fault = z.object({
  kind: z.literal('fault'),
  fault: z.enum(['freeze', 'mute', 'flip', 'trap']),
  seconds: z.number().min(0).max(600),
  peer: textOf(200),
  trap: trap
    .nullish()
    .transform((given) => given ?? undefined)
    .optional(),
});
const end = z.object({
  kind: z.literal('end'),
  exitCode: z.number().int().min(0).max(255),
  reason: text,
});

/** What the coordinator sends to a worker. */
export const coordinatorMessageSchema = z.discriminatedUnion('kind', [
  welcome,
  world,
  connect,
  vote,
  abort,
  finish,
  checkpointed,
  fault,
  end,
]);

export type WorkerMessage = z.infer<typeof workerMessageSchema>;
export type CoordinatorMessage = z.infer<typeof coordinatorMessageSchema>;
export type WorkerStage = (typeof workerStages)[number];
export type Hello = z.infer<typeof hello>;
export type StatusMessage = z.infer<typeof status>;
/** A worker's status without the tag. */
export type WorkerStatus = Omit<StatusMessage, 'kind'>;
export type Pace = z.infer<typeof paceSchema>;
export type StepReport = z.infer<typeof stepReport>;
export type EvaluationReport = z.infer<typeof evaluation>;
export type PartStored = z.infer<typeof partStored>;
export type SnapshotReport = z.infer<typeof snapshot>;
export type FailureMessage = z.infer<typeof failure>;
export type DigestReport = z.infer<typeof digest>;
export type WelcomeMessage = z.infer<typeof welcome>;
export type WorldMessage = z.infer<typeof world>;
export type StateSource = WorldMessage['source'];
export type FaultMessage = z.infer<typeof fault>;
export type Trap = z.infer<typeof trap>;

/** The world of a worker that is in none. */
export const noWorld: Omit<WorldMessage, 'kind'> = {
  generation: 0,
  members: [],
  step: 0,
  until: 0,
  source: 'own',
  donor: '',
};
