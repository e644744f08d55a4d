// The requests of the wire: protobuf by the .proto, and the checks that turn what was decoded
// (whatever a stranger sent) into the core's words.

import type * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

import { packageFile } from '../../shared/paths.js';
import { printable } from '../../shared/problems.js';
import type { ExchangePrecision } from '../../shared/plan/step-vector.js';
import type { ExchangeHello, ExchangeRequest, Pull, PullPhase } from './core/messages.js';

const phaseNumbers: Readonly<Record<PullPhase, number>> = { reduce: 1, gather: 2, leaf: 3 };
const precisionNumbers: Readonly<Record<ExchangePrecision, number>> = { float32: 1, bfloat16: 2 };

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
  const precision = precisionNumbers[hello.precision];
  return pullMethod.requestSerialize({ hello: { ...hello, precision } });
}

/** A request for frames, as bytes. */
export function serializePull(pull: Pull): Buffer {
  const { shape, phase, ...rest } = pull;
  return pullMethod.requestSerialize({ pull: { ...rest, ...shape, phase: phaseNumbers[phase] } });
}

/** What protobuf makes of a request: every field is there, and of its type. */
interface DecodedHello extends Omit<ExchangeHello, 'precision'> {
  readonly precision: unknown;
}
interface DecodedPull extends Omit<Pull, 'phase' | 'shape'> {
  readonly phase: unknown;
  readonly exact: number;
  readonly gradients: number;
  readonly factors: number;
}

/** Takes decoded protobuf apart; every field is bounded here or by the core. */
function checkRequest(message: object): ExchangeRequest {
  const { hello, pull } = message as { hello?: DecodedHello; pull?: DecodedPull };
  if (hello) return checkHello(hello);
  if (pull) return checkPull(pull);
  return { kind: 'refused', reason: 'a request that is neither hello nor pull' };
}

function checkHello(hello: DecodedHello): ExchangeRequest {
  if (!Number.isSafeInteger(hello.generation)) {
    return { kind: 'refused', reason: 'a generation above 2^53' };
  }
  const precision = nameOf(precisionNumbers, hello.precision);
  if (precision === undefined) {
    return { kind: 'refused', reason: `precision ${String(hello.precision)}` };
  }
  const fromWorker = printable(hello.fromWorker.slice(0, 200));
  return { kind: 'hello', hello: { ...hello, fromWorker, precision } };
}

function checkPull({ exact, gradients, factors, ...pull }: DecodedPull): ExchangeRequest {
  if (!Number.isSafeInteger(pull.generation) || !Number.isSafeInteger(pull.step)) {
    return { kind: 'refused', reason: 'a generation or step above 2^53' };
  }
  const phase = nameOf(phaseNumbers, pull.phase);
  if (phase === undefined) return { kind: 'refused', reason: `phase ${String(pull.phase)}` };
  return { kind: 'pull', pull: { ...pull, phase, shape: { exact, gradients, factors } } };
}

/** The name that has a number on the wire. */
function nameOf<Name extends string>(
  numbers: Readonly<Record<Name, number>>,
  number: unknown,
): Name | undefined {
  return (Object.keys(numbers) as Name[]).find((name) => numbers[name] === number);
}
