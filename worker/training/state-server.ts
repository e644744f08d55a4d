// The state for workers that are behind: told in a header, then handed out piece by piece. Only
// between two worlds, when nothing changes it; whoever has not got all of it by then asks anew.

import { bytesOf, readBytes, vectorsInOrder } from '../../shared/checkpoint/state.js';
import { stateDigest } from '../../shared/checkpoint/digests.js';
import type { Step } from '../../shared/words.js';
import type { StateHeader, ToCompute } from '../network/ports.js';
import type { OwnState } from './own-state.js';
import type { SendToNetwork } from './prepare-request.js';

/** Requests that are served at a time; a further one takes the oldest one's place. */
const maxRequests = 64;

/** What the network thread asks on behalf of peers. */
export type ServeMessage = Extract<ToCompute, { kind: 'serveState' | 'serveMore' }>;

export interface StateServer {
  /** Answers with servedHeader, servedChunk or serveRefused. */
  onMessage(message: ServeMessage): void;
  /** The state is about to change: requests under way are refused from now on. */
  pause(): void;
  /** The state stays as it is until the next pause. */
  resume(): void;
}

/** Creates the server of a worker's state. */
export function createStateServer(own: OwnState, send: SendToNetwork): StateServer {
  const vectors = vectorsInOrder(own.networks, own.state);
  const served = new Set<number>();
  let isPaused = false;
  // Of the state as it is since the last pause.
  let digest: string | undefined;

  const refusal = (step: Step): string | undefined => {
    if (!own.hasState) return 'it has no state';
    if (isPaused) return 'it is training';
    return own.state.step === step ? undefined : `its state is of step ${own.state.step}`;
  };
  const refuse = (request: number, reason: string): void =>
    send({ kind: 'serveRefused', request, reason });
  const serve = (request: number): void => {
    const [oldest] = served;
    if (served.size >= maxRequests) served.delete(oldest);
    served.add(request);
    digest ??= stateDigest(own.networks, own.state);
    send({ kind: 'servedHeader', request, header: headerOf(own, bytesOf(vectors), digest) });
  };
  const serveMore = (request: number, offset: number, maxBytes: number): void => {
    const bytes = readBytes(vectors, offset, maxBytes);
    if (offset + bytes.length >= bytesOf(vectors)) served.delete(request);
    send({ kind: 'servedChunk', request, bytes }, [bytes.buffer]);
  };
  return {
    onMessage: (message) => {
      const { request } = message;
      if (message.kind === 'serveState') {
        const reason = refusal(message.step);
        return reason === undefined ? serve(request) : refuse(request, reason);
      }
      if (!served.has(request)) return refuse(request, 'its state has changed since');
      serveMore(request, message.offset, message.maxBytes);
    },
    pause: () => {
      isPaused = true;
      served.clear();
      digest = undefined;
    },
    resume: () => {
      isPaused = false;
    },
  };
}

function headerOf({ networks, state }: OwnState, bytes: number, digest: string): StateHeader {
  const { step, skippedInARow } = state;
  const updates = Object.fromEntries(
    networks.map(({ name }) => [name, state.networks[name].updates]),
  );
  return { step, bytes, digest, updates, skippedInARow };
}
