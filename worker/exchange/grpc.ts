// The exchange over gRPC: its service on the worker's server, its channels to peers, and the one
// setting of V8 that it can't do without.

import * as grpc from '@grpc/grpc-js';
import { setFlagsFromString } from 'node:v8';

import { processClock } from '../../shared/clock.js';
import type { Door } from '../../shared/door/door.js';
import { messageOf, OperatorError } from '../../shared/problems.js';
import type { Certificates } from '../../shared/tls/certificates.js';
import { fellowChannel, fellowProblem } from '../../shared/tls/mutual.js';
import type { Member } from '../../shared/words.js';
import type { ExchangeRequest } from './core/messages.js';
import { createCountedClient, type CountedClient } from './counted-client.js';
import { Exchange, type ExchangeEvents, type ExchangeRecorder } from './exchange.js';
import { createFrameSerializer, decodeFrame, maxFrameBytes } from './frame.js';
import { defaultExchangeLimits, type ExchangeLimits } from './limits.js';
import { localAddress } from './local-sockets.js';
import type { PeerChannel } from './pull-link.js';
import type { FrameToSend, IncomingCall } from './served-stream.js';
import { createMemoryValues } from './values.js';
import { parseRequest, pullMethod, serializeHello, serializePull } from './wire.js';

const maxRequestBytes = 4_096;

export interface GrpcExchangeOptions {
  /** The server that peers reach us by, owned by the caller (`exchangeServerOptions`). */
  readonly server: grpc.Server;
  /** By which peers are known, both who calls and who is dialled; undefined: all is in clear. */
  readonly certificates?: Certificates | undefined;
  /** Where the server listens: peers of our world may stay there. */
  readonly door?: Door | undefined;
  readonly events: ExchangeEvents;
  readonly limits?: Partial<ExchangeLimits>;
  readonly recordStep?: ExchangeRecorder;
  readonly log?: (fact: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** Creates the exchange of a worker; one for each server. Changes how this process collects. */
export function createGrpcExchange(options: GrpcExchangeOptions): Exchange<Uint8Array> {
  markInOneGo();
  const { server, door, events, recordStep, log, certificates } = options;
  const limits = { ...defaultExchangeLimits, ...options.limits };
  const exchange = new Exchange<Uint8Array>({
    ...{ clock: processClock, limits, events, recordStep, log },
    createValues: createMemoryValues(),
    openChannel: (peer, lane) => {
      const onFailure = (reason: string): void =>
        log?.('peer not reached', { peer: peer.worker, at: peer.address, reason });
      const fellow = () =>
        fellowChannel(certificates, () => ({ role: 'worker', worker: peer.worker }), onFailure);
      return openChannel(peer, lane, limits, fellow);
    },
  });
  const service = {
    Pull: {
      ...pullMethod,
      requestDeserialize: parseRequest,
      responseSerialize: createFrameSerializer(),
      responseDeserialize: (bytes: Buffer) => bytes,
    },
  };
  const problemOf = (call: ServerCall, worker: string): string | undefined => {
    const problem = fellowProblem(call, certificates, { role: 'worker', worker });
    if (problem !== undefined)
      log?.('exchange stream refused', { peer: worker, at: call.getPeer(), reason: problem });
    return problem;
  };
  server.addService(service, {
    Pull: (call: ServerCall) => exchange.accept(incomingCall(call, door, problemOf)),
  });
  return exchange;
}

/**
 * Turns incremental marking off in this process. Frames are array buffers, hundreds of MiB a
 * step, and V8 answers that much external memory with a marking that then takes up to 5 ms at
 * every further buffer; measured, 0.5 CPU seconds for a step of 95 MiB become 0.24. Marking the
 * network thread's few MiB of objects in one go takes a millisecond or two.
 */
function markInOneGo(): void {
  setFlagsFromString('--no-incremental-marking');
}

type ServerCall = grpc.ServerDuplexStream<ExchangeRequest, FrameToSend>;

function incomingCall(
  call: ServerCall,
  door: Door | undefined,
  problemOf: (call: ServerCall, worker: string) => string | undefined,
): IncomingCall<Uint8Array> {
  const peer = call.getPeer();
  let release: () => void = () => undefined;
  return {
    peer,
    listen: ({ onRequest, onEnd, onClosed }) => {
      call.on('data', (request: ExchangeRequest) => {
        const problem =
          request.kind === 'hello' ? problemOf(call, request.hello.fromWorker) : undefined;
        if (problem === undefined) return onRequest(request);
        call.emit('error', { code: grpc.status.PERMISSION_DENIED, details: problem });
      });
      call.on('end', onEnd);
      call.on('cancelled', onClosed);
      call.on('error', onClosed);
    },
    admitted: () => (release = door?.vouch(peer) ?? release),
    over: () => release(),
    write: (frame, onSent) => void call.write(frame, onSent),
    refuse: (code, details) => void call.emit('error', { code: grpc.status[code], details }),
    end: () => void call.end(),
  };
}

/** By the peer's socket if it has one here, and by TCP if not, or if nobody answers there. */
function openChannel(
  { address, socket }: Member,
  lane: number,
  limits: ExchangeLimits,
  fellow: () => ReturnType<typeof fellowChannel>,
): PeerChannel<Uint8Array> {
  const dial = (): CountedClient => {
    const { credentials, options } = fellow();
    return createCountedClient(address, { ...clientOptions(limits), ...options }, credentials);
  };
  const local = localAddress(socket, lane);
  let isLocal = local !== undefined;
  let connection =
    local === undefined ? dial() : createCountedClient(local, clientOptions(limits, isLocal));
  let earlierBytes = 0;
  const goByTcp = (): void => {
    earlierBytes += connection.receivedBytes();
    connection.client.close();
    connection = dial();
    isLocal = false;
  };
  const raw = (bytes: Buffer): Buffer => bytes;
  return {
    open: (hello, { onFrame, onMalformed, onEnd }) => {
      const metadata = new grpc.Metadata({ waitForReady: !isLocal });
      const { client } = connection;
      const call = client.makeBidiStreamRequest(pullMethod.path, raw, raw, metadata);
      call.on('data', (bytes: Buffer) => {
        const frame = decodeFrame(bytes);
        if ('refused' in frame) onMalformed(frame.refused);
        else onFrame(frame.header, frame.values);
      });
      // Every end has a status, which says more than the error that may come before it.
      call.on('error', () => undefined);
      call.on('status', ({ code, details }) => {
        const isAway = code === grpc.status.UNAVAILABLE;
        if (isAway && isLocal && client === connection.client) goByTcp();
        onEnd(details, !isAway);
      });
      call.write(serializeHello(hello));
      return {
        ask: (pull) => void call.write(serializePull(pull)),
        cancel: () => call.cancel(),
      };
    },
    receivedBytes: () => earlierBytes + connection.receivedBytes(),
    close: () => connection.client.close(),
  };
}

/**
 * Binds a server of the exchange to `listen` ("host:port", port 0 for any) behind its door; gives
 * "host:port" with the host that peers use, an IPv6 address in brackets. An OperatorError says why
 * it can't. With certificates it is mutual TLS that is spoken there.
 */
export async function bindExchange(
  server: grpc.Server,
  door: Door,
  listen: string,
  advertise: string,
  certificates?: Certificates,
): Promise<string> {
  const host = advertise.includes(':') && !advertise.startsWith('[') ? `[${advertise}]` : advertise;
  try {
    return `${host}:${await door.listen(server, listen, certificates)}`;
  } catch (error) {
    throw unbound(listen, error);
  }
}

function unbound(listen: string, error: unknown): OperatorError {
  return new OperatorError('the worker can not listen', [
    {
      key: '--listen',
      given: listen,
      allowed: 'an address of this machine and a port that is free (0: any)',
      hint: messageOf(error),
    },
  ]);
}

/** Options of the channel to a peer; the pulling side is the client. */
export function clientOptions(limits: ExchangeLimits, isLocal = false): grpc.ChannelOptions {
  return {
    'grpc-node.flow_control_window': isLocal ? limits.localWindowBytes : limits.windowBytes,
    'grpc.max_receive_message_length': maxFrameBytes,
    'grpc.max_send_message_length': maxRequestBytes,
    // Without it a megabyte of requests counts as sent before it is.
    'grpc.per_rpc_retry_buffer_size': 0,
    'grpc.enable_retries': 0,
    // A connection of our own, whatever other channels lead to the same address.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.min_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 500,
    'grpc.keepalive_time_ms': limits.keepaliveMs,
    'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMs,
    'grpc.keepalive_permit_without_calls': 1,
    'grpc.enable_channelz': 0,
  };
}

/** What the server that carries the exchange is to be created with. */
export const exchangeServerOptions: grpc.ServerOptions = {
  'grpc.max_receive_message_length': maxRequestBytes,
  // A peer has one stream at a time on a connection, and an old one that has not ended yet.
  'grpc.max_concurrent_streams': 8,
  'grpc.keepalive_time_ms': defaultExchangeLimits.keepaliveMs,
  'grpc.keepalive_timeout_ms': defaultExchangeLimits.keepaliveTimeoutMs,
  'grpc.enable_channelz': 0,
};
