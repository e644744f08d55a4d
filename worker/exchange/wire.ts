// The requests of the wire: protobuf by the .proto, and the checks that turn what was decoded
// (whatever a stranger sent) into the core's words.

import type * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

import { packageFile } from '../../shared/paths.js';
import { printable } from '../../shared/problems.js';
import type { ExchangeHello, ExchangeRequest, Pull } from './core/messages.js';

const phaseNumbers = { reduce: 1, gather: 2 } as const;

/** The pull of the service, as the .proto says; its response codec is not used. */
export const pullMethod = loadExchangeMethod('Pull');

/** A method of the service Exchange, as the .proto says. */
export function loadExchangeMethod(name: 'Pull' | 'State'): grpc.MethodDefinition<object, object> {
  const file = packageFile('proto/lockstep/v1/exchange.proto');
  const definition = loadSync(file, { longs: Number, defaults: true, oneofs: true });
  const service = definition['lockstep.v1.Exchange'] as grpc.ServiceDefinition;
  return service[name] as grpc.MethodDefinition<object, object>;
}

/** Parses and checks a request; throws on bytes that are no protobuf. */
export function parseRequest(bytes: Buffer): ExchangeRequest {
  return checkRequest(pullMethod.requestDeserialize(bytes));
}

/** The first request of a stream, as bytes. */
export function serializeHello(hello: ExchangeHello): Buffer {
  return pullMethod.requestSerialize({ hello });
}

/** A request for frames, as bytes. */
export function serializePull(pull: Pull): Buffer {
  return pullMethod.requestSerialize({ pull: { ...pull, phase: phaseNumbers[pull.phase] } });
}

/** Takes decoded protobuf apart; every field is bounded here or by the core. */
function checkRequest(message: object): ExchangeRequest {
  const { hello, pull } = message as { hello?: ExchangeHello; pull?: Omit<Pull, 'phase'> };
  if (hello) return checkHello(hello);
  if (pull) return checkPull(pull as Omit<Pull, 'phase'> & { phase: unknown });
  return { kind: 'refused', reason: 'a request that is neither hello nor pull' };
}

function checkHello(hello: ExchangeHello): ExchangeRequest {
  if (!Number.isSafeInteger(hello.generation)) {
    return { kind: 'refused', reason: 'a generation above 2^53' };
  }
  const fromWorker = printable(hello.fromWorker.slice(0, 200));
  return { kind: 'hello', hello: { ...hello, fromWorker } };
}

function checkPull(pull: Omit<Pull, 'phase'> & { phase: unknown }): ExchangeRequest {
  if (!Number.isSafeInteger(pull.generation) || !Number.isSafeInteger(pull.step)) {
    return { kind: 'refused', reason: 'a generation or step above 2^53' };
  }
  const phase = phaseOf(pull.phase);
  if (phase === undefined) return { kind: 'refused', reason: `phase ${String(pull.phase)}` };
  return { kind: 'pull', pull: { ...pull, phase } };
}

function phaseOf(value: unknown): Pull['phase'] | undefined {
  if (value === phaseNumbers.reduce) return 'reduce';
  return value === phaseNumbers.gather ? 'gather' : undefined;
}
