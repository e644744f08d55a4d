// Processes that speak the protocol and should not be there: they say hello in another's name, for
// another run, with other software, by the hundred, and ask workers for what is not theirs.

import { credentials, Client, type ClientDuplexStream } from '@grpc/grpc-js';
import { loadControlService, toWire, type WireMessage } from '../../../shared/control/codec.js';
import {
  noWorld,
  protocolVersion,
  type Hello,
  type WorkerMessage,
} from '../../../shared/control/messages.js';
import { noPace } from '../../../worker/core/state.js';
import type { ExchangeHello } from '../../../worker/exchange/core/messages.js';
import { pullMethod, serializeHello } from '../../../worker/exchange/wire.js';
import { decodeFrame } from '../../../worker/exchange/frame.js';

/** The hello of a newcomer that loads the run; `change` is what is odd about it. */
export function oddHello(worker: string, change: Partial<Hello> = {}): Hello {
  return {
    ...{ kind: 'hello', protocol: protocolVersion, worker, incarnation: 1, address: '127.0.0.1:9' },
    ...{ pid: 1, host: 'elsewhere', allowsFaults: false, run: '', recordSha256: '', term: 0 },
    world: noWorld,
    status: {
      ...{ sequence: 1, generation: 0, stage: 'joining', step: 0, hasState: false },
      ...{ activity: '', isLeaving: false, suspicions: [], trouble: '', obstacle: '' },
      ...{ pace: noPace, fingerprint: '' },
    },
    ...change,
  };
}

/** What came of a session: the reason of its end, or what gRPC says. */
export type SessionEnd = string;

const ownConnection = { 'grpc.use_local_subchannel_pool': 1 };

/** Opens a session, says these, and waits until it is over; at most so long. */
export function intrude(
  address: string,
  messages: readonly WorkerMessage[],
  patienceMs: number,
  reads = true,
): Promise<SessionEnd> {
  const Control = loadControlService();
  const client = new Control(address, credentials.createInsecure(), ownConnection);
  return new Promise((resolve) => {
    let end = 'nothing';
    const stream = (
      client as unknown as { session(): ClientDuplexStream<WireMessage, WireMessage> }
    ).session();
    const finish = (): void => {
      clearTimeout(timer);
      stream.cancel();
      client.close();
      resolve(end);
    };
    const timer = setTimeout(finish, patienceMs);
    if (reads)
      stream.on('data', (wire: WireMessage) => {
        const { reason } = (wire.end ?? {}) as { reason?: string };
        if (wire.body === 'end') end = reason ?? '';
      });
    stream.on('error', ({ message }) => {
      if (end === 'nothing') end = message;
      finish();
    });
    stream.on('end', finish);
    for (const message of messages) stream.write(toWire(message));
  });
}

/** Opens an exchange stream with this hello; gives gRPC's reason for its end, or "welcome". */
export function knock(
  address: string,
  hello: ExchangeHello,
  patienceMs: number,
): Promise<SessionEnd> {
  const client = new Client(address, credentials.createInsecure(), ownConnection);
  const raw = (bytes: Buffer): Buffer => bytes;
  return new Promise((resolve) => {
    const call = client.makeBidiStreamRequest(pullMethod.path, raw, raw);
    const finish = (end: string): void => {
      clearTimeout(timer);
      call.cancel();
      client.close();
      resolve(end);
    };
    const timer = setTimeout(() => finish('nothing'), patienceMs);
    call.on('data', (bytes: Buffer) => {
      const frame = decodeFrame(bytes);
      if ('header' in frame) finish(frame.header.kind);
    });
    call.on('error', ({ message }) => finish(message));
    call.write(serializeHello(hello));
  });
}
