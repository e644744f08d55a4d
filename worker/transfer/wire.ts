// The request for a state on the wire: protobuf by the .proto, and the checks that turn what was
// decoded (whatever a stranger sent) into words of ours.

import type * as grpc from '@grpc/grpc-js';

import type { Generation, Step } from '../../shared/words.js';
import { loadExchangeMethod } from '../exchange/wire.js';
import { createStateSerializer } from './state-frame.js';

/** Who asks for which state, in which world. */
export interface StateRequest {
  readonly generation: Generation;
  readonly step: Step;
  readonly fromWorker: string;
}

/** A request in our words, or why it is none. */
export type WireStateRequest = StateRequest | { readonly refused: string };

/** The method as the .proto says; its response codec is not used. */
export const stateMethod = loadExchangeMethod('State');

/** The service to add to a server: requests are checked, frames go out by the raw codec. */
export function stateService(maxPayload: number): grpc.ServiceDefinition {
  const raw = {
    ...stateMethod,
    requestDeserialize: parseStateRequest,
    responseSerialize: createStateSerializer(maxPayload),
    responseDeserialize: (bytes: Buffer) => bytes,
  };
  return { State: raw };
}

/** A request as bytes. */
export function serializeStateRequest(request: StateRequest): Buffer {
  return stateMethod.requestSerialize(request);
}

/** Parses and checks a request; throws on bytes that are no protobuf. */
export function parseStateRequest(bytes: Buffer): WireStateRequest {
  const { generation, step, fromWorker } = stateMethod.requestDeserialize(bytes) as StateRequest;
  if (!Number.isSafeInteger(generation) || !Number.isSafeInteger(step)) {
    return { refused: 'a generation or step above 2^53' };
  }
  return { generation, step, fromWorker: fromWorker.slice(0, 200) };
}
