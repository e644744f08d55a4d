// The gRPC service of the exchange: the method with the raw codec for frames, and the options of
// both sides of a connection.

import type * as grpc from '@grpc/grpc-js';

import { headerBytes, maxFrameBytes, writeHeader, type FrameHeader } from './frame.js';
import { defaultExchangeLimits, type ExchangeLimits } from './limits.js';
import { parseRequest, pullMethod } from './wire.js';

const maxRequestBytes = 4_096;

/** A frame to be sent; the values are read when gRPC serializes it, not when it is queued. */
export interface FrameToSend {
  readonly header: FrameHeader;
  readonly values: Float32Array | undefined;
}

/** The service to add to a server: requests are checked, frames go out by the raw codec. */
export function exchangeService(): grpc.ServiceDefinition {
  const raw = {
    ...pullMethod,
    requestDeserialize: parseRequest,
    responseSerialize: createFrameSerializer(),
    responseDeserialize: (bytes: Buffer) => bytes,
  };
  return { Pull: raw };
}

/**
 * Serializes frames into one buffer, reused by the next: grpc-js (1.14, `serializeMessage`)
 * copies the bytes behind its own prefix before it does anything else. A fresh megabyte a frame
 * costs more in page faults than the copy. The values lie aligned, or copying from shared
 * memory is five times slower.
 */
export function createFrameSerializer(): (frame: FrameToSend) => Buffer {
  const start = 40 - headerBytes;
  const buffer = new ArrayBuffer(start + maxFrameBytes);
  const view = new DataView(buffer);
  const payload = new Float32Array(buffer, start + headerBytes);
  return ({ header, values }) => {
    writeHeader(view, start, header);
    if (values !== undefined) payload.set(values);
    return Buffer.from(buffer, start, headerBytes + 4 * header.floats);
  };
}

/** Options of the channel to a peer; the pulling side is the client. */
export function clientOptions(limits: ExchangeLimits): grpc.ChannelOptions {
  return {
    'grpc-node.flow_control_window': limits.windowBytes,
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
  'grpc.max_send_message_length': maxFrameBytes,
  'grpc.keepalive_time_ms': defaultExchangeLimits.keepaliveMs,
  'grpc.keepalive_timeout_ms': defaultExchangeLimits.keepaliveTimeoutMs,
  'grpc.enable_channelz': 0,
};
