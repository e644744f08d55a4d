// The operator's requests to a coordinator that leads, as gRPC: status, scale, faults. Until it
// leads there is nothing to answer with. A refusal becomes an error with its words.

import {
  status as codes,
  type handleUnaryCall,
  type Server,
  type ServerUnaryCall,
  type ServerWritableStream,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { z } from 'zod';
import type { Clock } from '../../shared/clock.js';
import {
  loadAdminService,
  maxRunPictureBytes,
  type RunStatus,
  type ScaleReply,
} from '../../shared/control/admin.js';
import {
  coordinatorMessageSchema,
  type CoordinatorMessage,
  type FaultMessage,
} from '../../shared/control/messages.js';
import { toWire, type WireMessage } from '../../shared/control/codec.js';
import type { TraceOrder } from '../../shared/control/tracing.js';
import type { Log } from '../../shared/log.js';
import { OperatorError, formatProblem, messageOf } from '../../shared/problems.js';
import { callerProblem, type AuthenticatedCall } from '../../shared/tls/mutual.js';
import { workersProblem } from '../../shared/spec/validate.js';
import type { RunPicture } from '../../watch/history/picture.js';
import type { SessionGuard } from '../guard.js';
import type { CoordinatorEvent, CoordinatorState } from '../core/state.js';
import type { PaceView } from '../core/straggler.js';
import type { Reporter } from './reporter.js';
import { describeRun } from './run-status.js';
import { createStepTraces, type StepTraces, type TraceReader } from './step-traces.js';

/** What the operator may ask of a coordinator. */
export interface OperatorRequests {
  status(): RunStatus;
  /** Throws an OperatorError when this coordinator keeps no history. */
  picture(): RunPicture;
  /** Throws an OperatorError when the run can't have so many workers. */
  scale(workers: number): ScaleReply;
  /** Throws an OperatorError when the fault can't be passed on. */
  injectFault(worker: string, fault: FaultMessage): void;
  readonly traces: StepTraces;
}

/** The run as its leader has it at hand. */
export interface LedRun {
  readonly state: CoordinatorState;
  /** How fast the workers are, for finding the slowest. */
  paces(): PaceView[];
  /** An event to be decided on before this returns, after what is waiting. */
  dispatch(event: CoordinatorEvent): void;
  /** Does nothing when the worker has no session. */
  send(worker: string, message: CoordinatorMessage | TraceOrder): void;
}

/** Whose questions are answered. */
export interface AnsweredRun {
  readonly run: string;
  readonly runUrl: string;
  /** Undefined: all is in clear. */
  readonly guard?: SessionGuard | undefined;
}

/** Answers from what the coordinator knows of its run. */
export function answerOperator(
  { run, runUrl, guard }: AnsweredRun,
  { state, paces, dispatch, send }: LedRun,
  reporter: Pick<Reporter, 'rate' | 'worldReason' | 'health'>,
  clock: Clock,
  history?: { picture(): RunPicture },
): OperatorRequests {
  const { microShards } = state.config;
  const status = (): RunStatus =>
    describeRun(state, {
      ...{ run, url: runUrl, pid: process.pid, nowMs: clock.nowMs(), paces: paces() },
      ...{ ...reporter.rate(), worldReason: reporter.worldReason(), health: reporter.health() },
      certificate: guard?.certificates.endingNotice(Date.now()),
    });
  return {
    status,
    traces: createStepTraces({ clock, status, send }),
    picture: () => {
      if (history !== undefined) return history.picture();
      throw new OperatorError("this coordinator keeps no history: read the run's folder", []);
    },
    scale: (workers) => {
      const problem = workersProblem(workers, microShards);
      if (problem !== undefined) throw new OperatorError(formatProblem(problem), []);
      const before = state.target;
      dispatch({ kind: 'scaleAsked', workers });
      return { before, workers };
    },
    injectFault: (worker, fault) => {
      const view = state.workers.get(worker);
      if (view?.session === undefined)
        throw new OperatorError(`there is no worker ${worker} in this run`, []);
      if (!view.allowsFaults)
        throw new OperatorError(`${worker} was started without --allow-faults`, []);
      send(worker, fault);
    },
  };
}

const scaleRequest = z.object({ workers: z.number().int().min(0) });
const traceRequest = z.object({ steps: z.number() });
const faultRequest = z.object({
  worker: z.string().min(1).max(200),
  fault: z.looseObject({}),
});

/** No refusal: another one may lead, or this one soon. */
class NotLeading extends Error {
  override readonly message = 'this coordinator does not lead the run yet: try again';
}

/** A caller whose certificate does not let it ask. */
class NotPermitted extends Error {}

/** Who may only look. */
const forObservers = new Set(['GetStatus', 'GetPicture']);

/** Throws unless the caller of a method may call it; where all is in clear everybody may. */
function requirePermission(call: AuthenticatedCall, method: string, run: string | undefined): void {
  if (run === undefined) return;
  const problem = callerProblem(call, { run, role: 'operator' });
  if (problem === undefined) return;
  const isObserver = callerProblem(call, { run, role: 'observer' }) === undefined;
  if (!isObserver || !forObservers.has(method)) throw new NotPermitted(`not permitted: ${problem}`);
}

/**
 * For the hook of the sessions that adds services; `answers` is undefined until the run is led.
 * `run` is that of a closed coordinator: callers need the certificate of an operator of it.
 */
export function operatorService(
  answers: () => OperatorRequests | undefined,
  run?: string,
  log?: Log,
): (server: Server) => void {
  const permit = (call: PermittedCall, method: string): void => {
    try {
      requirePermission(call, method, run);
    } catch (error) {
      log?.warn('operator refused', { method, at: call.getPeer(), reason: messageOf(error) });
      throw error;
    }
  };
  const unary = (method: string, answer: (request: unknown) => object) =>
    answering((call) => {
      permit(call, method);
      return answer(call.request);
    });
  const leading = (): OperatorRequests => {
    const requests = answers();
    if (requests !== undefined) return requests;
    throw new NotLeading();
  };
  const implementation: UntypedServiceImplementation = {
    GetStatus: unary('GetStatus', () => leading().status()),
    GetPicture: unary('GetPicture', () => ({ picture: pictureBytes(leading().picture()) })),
    Scale: unary('Scale', (request) => leading().scale(parse(scaleRequest, request).workers)),
    InjectFault: unary('InjectFault', (request) => {
      const { worker, fault: fields } = parse(faultRequest, request);
      const fault = parse(coordinatorMessageSchema, { ...fields, kind: 'fault' });
      if (fault.kind !== 'fault') throw new Error('a fault has the kind fault');
      leading().injectFault(worker, fault);
      return {};
    }),
    Trace: streaming(async (call, reply, signal) => {
      permit(call, 'Trace');
      const { steps } = parse(traceRequest, call.request);
      await leading().traces.trace(steps, reply, signal);
    }),
  };
  return (server) => server.addService(loadAdminService(), implementation);
}

function pictureBytes(picture: RunPicture): Buffer {
  const bytes = Buffer.from(JSON.stringify(picture));
  if (bytes.length <= maxRunPictureBytes) return bytes;
  throw new OperatorError(`the picture of this run is too large: ${bytes.length} bytes`, []);
}

function answering(
  answer: (call: ServerUnaryCall<unknown, object>) => object,
): handleUnaryCall<unknown, object> {
  return (call, callback) => {
    let reply: object;
    try {
      reply = answer(call);
    } catch (error) {
      return callback(refusalOf(error));
    }
    callback(null, reply);
  };
}

/** Spans that wait for a slow reader at most: some 10 MB. */
const maxWaitingSpans = 40_000;

type Call = ServerWritableStream<unknown, WireMessage>;
type PermittedCall = AuthenticatedCall & Pick<Call, 'getPeer'>;

/**
 * Answers with a stream, as far as it is read; the signal is aborted when nobody reads it any more.
 */
function streaming(
  answer: (call: Call, reply: TraceReader, signal: AbortSignal) => Promise<void>,
): (call: Call) => void {
  return (call) => {
    const gone = new AbortController();
    call.once('cancelled', () => gone.abort());
    let waiting = 0;
    const reply: TraceReader = (message) => {
      const spans = message.kind === 'tracePart' ? message.spans.length : 0;
      if (gone.signal.aborted || waiting + spans > maxWaitingSpans) return false;
      waiting += spans;
      call.write(toWire(message), () => (waiting -= spans));
      return true;
    };
    answer(call, reply, gone.signal).then(
      () => call.end(),
      (error: unknown) => call.emit('error', refusalOf(error)),
    );
  };
}

function refusalOf(error: unknown): { readonly code: codes; readonly details: string } {
  if (error instanceof NotPermitted)
    return { code: codes.PERMISSION_DENIED, details: error.message };
  if (error instanceof NotLeading) return { code: codes.UNAVAILABLE, details: error.message };
  const code = error instanceof OperatorError ? codes.FAILED_PRECONDITION : codes.INTERNAL;
  return { code, details: messageOf(error) };
}

function parse<S extends z.ZodType>(schema: S, request: unknown): z.infer<S> {
  const parsed = schema.safeParse(request);
  if (parsed.success) return parsed.data;
  throw new OperatorError(
    'the request is not valid',
    parsed.error.issues.map(({ path, message }) => ({
      key: path.join('.'),
      given: undefined,
      allowed: message,
    })),
  );
}
