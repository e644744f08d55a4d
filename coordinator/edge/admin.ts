// The operator's requests, as gRPC: checked here, answered by the coordinator. It decides nothing:
// a refusal is the coordinator's, and becomes an error with its words.

import {
  status as codes,
  type handleUnaryCall,
  type Server,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { z } from 'zod';
import { loadAdminService, type RunStatus, type ScaleReply } from '../../shared/control/admin.js';
import { coordinatorMessageSchema, type FaultMessage } from '../../shared/control/messages.js';
import { OperatorError } from '../../shared/problems.js';

/** What the coordinator answers. */
export interface AdminHandlers {
  status(): RunStatus;
  /** Throws an OperatorError when the run can't have so many workers. */
  scale(workers: number): ScaleReply;
  /** The reason when the fault can't be passed on. */
  injectFault(worker: string, fault: FaultMessage): string | undefined;
}

const scaleRequest = z.object({ workers: z.number().int().min(0) });
const faultRequest = z.object({
  worker: z.string().min(1).max(200),
  fault: z.looseObject({}),
});

/** For the hook of the sessions that adds services to their server. */
export function adminService(handlers: AdminHandlers): (server: Server) => void {
  const implementation: UntypedServiceImplementation = {
    GetStatus: unary(() => handlers.status()),
    Scale: unary((request) => handlers.scale(parse(scaleRequest, request).workers)),
    InjectFault: unary((request) => {
      const { worker, fault: fields } = parse(faultRequest, request);
      const fault = parse(coordinatorMessageSchema, { ...fields, kind: 'fault' });
      if (fault.kind !== 'fault') throw new Error('a fault has the kind fault');
      const refusal = handlers.injectFault(worker, fault);
      if (refusal !== undefined) throw new OperatorError(refusal, []);
      return {};
    }),
  };
  return (server) => server.addService(loadAdminService(), implementation);
}

function unary(answer: (request: unknown) => object): handleUnaryCall<unknown, object> {
  return ({ request }, callback) => {
    let reply: object;
    try {
      reply = answer(request);
    } catch (error) {
      const code = error instanceof OperatorError ? codes.FAILED_PRECONDITION : codes.INTERNAL;
      return callback({ code, details: error instanceof Error ? error.message : String(error) });
    }
    callback(null, reply);
  };
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
