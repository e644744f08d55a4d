// The operator's view of a run as checked values, and the client that asks the leading coordinator
// for it. The wire form is the service Admin of proto/lockstep/v1/control.proto.

import { Client, Metadata, type ServiceDefinition, type ServiceError } from '@grpc/grpc-js';
import { z } from 'zod';
import { firstIssue, messageOf, printable } from '../problems.js';
import type { Certificates } from '../tls/certificates.js';
import { fellowChannel } from '../tls/mutual.js';
import { fromWire, loadService, type WireMessage } from './codec.js';
import { maxWorkers, paceSchema, type FaultMessage, type Pace } from './messages.js';
import { traceReplySchema, type TraceReply } from './tracing.js';

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const seconds = z.number().min(0);
const text = z.string().max(4096).transform(printable);

const noPace: Pace = {
  ...{ dataS: 0, computeS: 0, exchangeS: 0, updateS: 0 },
  ...{ waitedFor: '', waitedS: 0, sentBytes: 0, receivedBytes: 0 },
};

const worker = z.object({
  worker: text,
  /** -1: not in the world. */
  rank: z.number().int().min(-1),
  stage: text,
  step: count,
  activity: text,
  isConnected: z.boolean(),
  /** Seconds since it was heard last. */
  silentS: seconds,
  pid: count,
  host: text,
  address: text,
  incarnation: count,
  /** It obeys injected faults. */
  allowsFaults: z.boolean(),
  pace: paceSchema.nullable().transform((given) => given ?? noPace),
});

const straggler = z.object({
  worker: text,
  phase: z.enum(['data', 'compute', 'exchange']),
  /** Seconds a step beyond the others. */
  excessS: seconds,
});

/** Where a run is; see the messages of the same names in control.proto. */
export const runStatusSchema = z.object({
  run: text,
  url: text,
  term: count,
  stage: text,
  reason: text,
  generation: count,
  step: count,
  until: count,
  lastStep: count,
  /** Newest whole checkpoint; 0 before the first. */
  checkpoint: count,
  imagesPerS: z.number(),
  etaS: z.number(),
  workers: z.array(worker).max(maxWorkers),
  straggler: straggler
    .nullable()
    .optional()
    .transform((given) => given ?? undefined),
  target: count,
  coordinatorPid: count,
  /** Why the world of now was formed; empty if an earlier coordinator formed it. */
  worldReason: text,
  /** What ails the networks, in one line; empty while nothing does. */
  health: text.optional(),
  /** That the coordinator's certificate ends soon; empty while it does not. */
  certificate: text.optional(),
  /** Of the run, once its stage is "ended"; until then 0. */
  exitCode: count,
});

export type RunStatus = z.infer<typeof runStatusSchema>;
export type RunWorker = RunStatus['workers'][number];

/** Most bytes of a picture: with all around it a message stays below gRPC's 4 MiB. */
export const maxRunPictureBytes = 3 * 1024 * 1024;

const pictureReply = z.object({
  picture: z.instanceof(Uint8Array).refine(({ length }) => length <= maxRunPictureBytes),
});

const scaleReplySchema = z.object({ before: count, workers: count });

/** How many workers the run was to have, and is to have now. */
export type ScaleReply = z.infer<typeof scaleReplySchema>;

/** Asks one coordinator; every call rejects with an AdminError. */
export interface AdminClient {
  getStatus(): Promise<RunStatus>;
  /** The run's picture as JSON; it is not checked. */
  getPicture(): Promise<Uint8Array>;
  scale(workers: number): Promise<ScaleReply>;
  injectFault(worker: string, fault: FaultMessage): Promise<void>;
  /** Traces the next steps; resolves at the end of the stream. The signal gives it up. */
  trace(steps: number, onReply: (reply: TraceReply) => void, signal: AbortSignal): Promise<void>;
  close(): void;
}

/** A call that came to nothing: nobody answered in time, or the coordinator refused. */
export class AdminError extends Error {
  constructor(
    message: string,
    readonly isRefusal: boolean,
  ) {
    super(message);
    this.name = 'AdminError';
  }
}

/** Longest wait for an answer. */
const deadlineMs = 5_000;

/** Definition of `lockstep.v1.Admin`, for both sides. */
export function loadAdminService(): ServiceDefinition {
  return loadService('Admin').service;
}

export interface AdminClientOptions {
  readonly timeoutMs?: number;
  /** Ours; undefined: in clear. */
  readonly certificates?: Certificates | undefined;
}

/** A client of the coordinator at `address` ("host:port"); it connects with the first call. */
export function createAdminClient(
  address: string,
  { timeoutMs = deadlineMs, certificates }: AdminClientOptions = {},
): AdminClient {
  const service = loadAdminService();
  const { credentials, options } = fellowChannel(certificates, () => ({ role: 'coordinator' }));
  // Not the connection of an earlier client, which may wait long before it dials again.
  const own = { ...options, 'grpc.use_local_subchannel_pool': 1 };
  const client = new Client(address, credentials, own);
  const call = <S extends z.ZodType>(method: string, request: object, reply: S) =>
    new Promise<z.infer<S>>((resolve, reject) => {
      const definition = service[method];
      if (definition === undefined) throw new Error(`there is no method ${method}`);
      const { path, requestSerialize, responseDeserialize } = definition;
      const until = { deadline: Date.now() + timeoutMs };
      const done = (error: ServiceError | null, value?: object): void => {
        if (error !== null) return reject(adminError(error));
        const parsed = reply.safeParse(value);
        if (parsed.success) resolve(parsed.data);
        else reject(new AdminError(`a bad answer to ${method}: ${firstIssue(parsed.error)}`, true));
      };
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize as (bytes: Buffer) => object,
        request,
        new Metadata(),
        until,
        done,
      );
    });
  return {
    getStatus: () => call('GetStatus', {}, runStatusSchema),
    getPicture: async () => (await call('GetPicture', {}, pictureReply)).picture,
    scale: (workers) => call('Scale', { workers }, scaleReplySchema),
    injectFault: async (worker, fault) => {
      await call('InjectFault', { worker, fault }, z.object({}));
    },
    trace: (steps, onReply, signal) =>
      new Promise((resolve, reject) => {
        const definition = service['Trace'];
        if (definition === undefined) throw new Error('there is no method Trace');
        const { path, requestSerialize, responseDeserialize } = definition;
        const stream = client.makeServerStreamRequest(
          path,
          requestSerialize,
          responseDeserialize as (bytes: Buffer) => WireMessage,
          { steps },
        );
        const cancel = (): void => stream.cancel();
        const end = (done: () => void): void => {
          signal.removeEventListener('abort', cancel);
          done();
        };
        signal.addEventListener('abort', cancel);
        if (signal.aborted) cancel();
        stream.on('data', (wire: WireMessage) => {
          try {
            onReply(fromWire(traceReplySchema, wire));
          } catch (error) {
            stream.cancel();
            end(() => reject(new AdminError(messageOf(error), true)));
          }
        });
        stream.on('error', (error: ServiceError) => end(() => reject(adminError(error))));
        stream.on('end', () => end(resolve));
      }),
    close: () => client.close(),
  };
}

/** gRPC codes with which a coordinator refuses: coordinator/edge/operator-service.ts. */
const refusals = new Set([3, 7, 9, 12, 13]);

function adminError({ code, details }: ServiceError): AdminError {
  return new AdminError(printable(details), refusals.has(code));
}
