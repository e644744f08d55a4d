// The transfer of states over gRPC: the service on the worker's server, and channels to donors.

import * as grpc from '@grpc/grpc-js';

import { processClock } from '../../shared/clock.js';
import type { Door } from '../../shared/door/door.js';
import { printable } from '../../shared/problems.js';
import type { Certificates } from '../../shared/tls/certificates.js';
import { fellowChannel, fellowProblem } from '../../shared/tls/mutual.js';
import { createCountedClient } from '../exchange/counted-client.js';
import { clientOptions } from '../exchange/grpc.js';
import { defaultExchangeLimits } from '../exchange/limits.js';
import { loadExchangeMethod } from '../exchange/wire.js';
import {
  createStateClient,
  type DonorChannel,
  type StateClient,
  type StateClientOptions,
} from './fetch-state.js';
import { StateServer, type StateCall, type StateServerOptions } from './serve-state.js';
import {
  createStateSerializer,
  decodeStateFrame,
  defaultTransferLimits,
  maxJsonBytes,
  stateHeaderBytes,
  type StateFrame,
  type StateRequest,
  type TransferLimits,
} from './state-frame.js';

type Limited<Options> = Omit<Options, 'limits' | 'clock' | 'openChannel'> & {
  readonly limits?: Partial<TransferLimits>;
  /** By which peers are known; undefined: all is in clear. */
  readonly certificates?: Certificates | undefined;
};

/** Creates the fetching side of a worker. Holds connections only while it fetches. */
export function createGrpcStateClient(
  options: Limited<StateClientOptions> & {
    /** Who of the world is reached at an address: its certificate has to say so. */
    readonly workerAt?: (address: string) => string | undefined;
  },
): StateClient {
  const limits = { ...defaultTransferLimits, ...options.limits };
  const { certificates, workerAt } = options;
  const openChannel = (donor: string): DonorChannel =>
    channelTo(donor, certificates, () => workerAt?.(donor));
  return createStateClient({ ...options, limits, clock: processClock, openChannel });
}

/** Adds the service to the worker's server, the one that carries the exchange, and its door. */
export function createGrpcStateServer(
  server: grpc.Server,
  options: Limited<StateServerOptions>,
  door?: Door,
): StateServer {
  const limits = { ...defaultTransferLimits, ...options.limits };
  const state = new StateServer({ ...options, limits, clock: processClock });
  const service = stateService(Math.max(limits.chunkBytes, maxJsonBytes));
  server.addService(service, {
    State: (call: ServerCall) => {
      const { request } = call;
      const worker = 'refused' in request ? '' : request.fromWorker;
      const reason = fellowProblem(call, options.certificates, { role: 'worker', worker });
      if (reason === undefined) return state.onCall(stateCall(call, door));
      options.log?.('state refused', { peer: worker, at: call.getPeer(), reason });
      call.emit('error', { code: grpc.status.PERMISSION_DENIED, details: reason });
    },
  });
  return state;
}

/** A request in our words, or why it is none. */
type WireStateRequest = StateCall['request'];
type ServerCall = grpc.ServerWritableStream<WireStateRequest, StateFrame>;

function stateCall(call: ServerCall, door: Door | undefined): StateCall {
  const peer = call.getPeer();
  let release: () => void = () => undefined;
  return {
    request: call.request,
    peer,
    admitted: () => (release = door?.vouch(peer) ?? release),
    over: () => release(),
    listen: (onGone) => {
      call.on('cancelled', () => onGone('the receiver is gone'));
      call.on('error', () => onGone('the stream broke'));
    },
    write: (frame, onSent) => void call.write(frame, onSent),
    end: () => void call.end(),
    refuse: (code, details) => void call.emit('error', { code: grpc.status[code], details }),
  };
}

function channelTo(
  donor: string,
  certificates: Certificates | undefined,
  workerAt: () => string | undefined,
): DonorChannel {
  const fellow = fellowChannel(certificates, () => ({ role: 'worker', worker: workerAt() }));
  const options = {
    ...fellow.options,
    ...clientOptions(defaultExchangeLimits),
    'grpc.max_receive_message_length': stateHeaderBytes + defaultTransferLimits.chunkBytes,
  };
  const { client, receivedBytes } = createCountedClient(donor, options, fellow.credentials);
  const raw = (bytes: Buffer): Buffer => bytes;
  return {
    ask: (request, { onFrame, onMalformed, onEnd, onBroken }) => {
      const bytes = stateMethod.requestSerialize(request);
      const call = client.makeServerStreamRequest(stateMethod.path, raw, raw, bytes);
      call.on('data', (message: Buffer) => {
        const frame = decodeStateFrame(message);
        if ('refused' in frame) onMalformed(frame.refused);
        else onFrame(frame);
      });
      // Every end has a status, which says more than the error that may come before it.
      call.on('error', () => undefined);
      // A stream that ended in order may still have messages for us: `end` comes after them.
      call.on('status', ({ code, details }) => {
        if (code !== grpc.status.OK) onBroken(details, code === grpc.status.RESOURCE_EXHAUSTED);
      });
      call.on('end', onEnd);
      return {
        pause: () => void call.pause(),
        resume: () => void call.resume(),
        cancel: () => call.cancel(),
      };
    },
    receivedBytes,
    close: () => client.close(),
  };
}

/** The method as the .proto says; its response codec is not used. */
const stateMethod = loadExchangeMethod('State');

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

/** Parses and checks a request; throws on bytes that are no protobuf. */
function parseStateRequest(bytes: Buffer): WireStateRequest {
  const { generation, step, fromWorker } = stateMethod.requestDeserialize(bytes) as StateRequest;
  if (!Number.isSafeInteger(generation) || !Number.isSafeInteger(step)) {
    return { refused: 'a generation or step above 2^53' };
  }
  return { generation, step, fromWorker: printable(fromWorker.slice(0, 200)) };
}
