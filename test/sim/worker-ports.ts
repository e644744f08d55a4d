// What a simulated worker's node gets instead of sockets: streams on the simulated network, and
// values that are a number or two for each chunk.

import type { CoordinatorMessage, WorkerMessage } from '../../shared/control/messages.js';
import { isTraceAnswer } from '../../shared/control/tracing.js';
import type { ExchangeHello, Pull } from '../../worker/exchange/core/messages.js';
import type { FoldPlan } from '../../worker/exchange/core/world.js';
import type { ExchangeWorld } from '../../worker/exchange/exchange.js';
import type { OpenLane } from '../../worker/exchange/lanes.js';
import type { Place } from '../../worker/exchange/memory.js';
import type { PeerChannel } from '../../worker/exchange/pull-link.js';
import type { FrameToSend, IncomingCall } from '../../worker/exchange/served-stream.js';
import type { ChunkValues } from '../../worker/exchange/values.js';
import type { SessionLine, SessionPorts } from '../../worker/network/session.js';
import type { DonorChannel } from '../../worker/transfer/fetch-state.js';
import type { StateCall } from '../../worker/transfer/serve-state.js';
import type { StateFrame, StateRequest } from '../../worker/transfer/state-frame.js';
import type { Dice } from './machines/dice.js';
import type { Network, Side } from './machines/network.js';
import type { SimProcess } from './machines/process.js';
import { add, scale, type ChunkValue } from './training-state.js';
import type { SimVector } from './machines/vectors.js';

/** A coordinator's message, and the term of who sent it: for the oracles. */
export interface Heard {
  readonly term: number;
  readonly message: CoordinatorMessage;
}

/** Messages that are repeated until they have had their effect: they may get lost. */
export const repeated: ReadonlySet<string> = new Set([
  ...['status', 'world', 'connect', 'vote', 'abort', 'finish', 'checkpointed', 'digest'],
]);

type Request =
  | { readonly kind: 'hello'; readonly hello: ExchangeHello }
  | { readonly kind: 'pull'; readonly pull: Pull };
type Frame = FrameToSend<SimVector>;

/** Whether a stream was ended by a refusal that is final: "CODE: reason". */
function isRefusal(reason: string): boolean {
  return /^[A-Z_]+: /.test(reason) && !reason.startsWith('UNAVAILABLE');
}

/** Opens a stream; gives a function that ends it, also while it is being dialled. */
function open<Out, In>(
  network: Network,
  process: SimProcess,
  address: string,
  onSide: (side: Side<Out, In>) => void,
  onClosed: (reason: string) => void,
): () => void {
  let side: Side<Out, In> | undefined;
  let isWanted = true;
  network.dial(process, address, (result) => {
    if (typeof result === 'string') {
      if (isWanted) onClosed(result);
      return;
    }
    if (!isWanted) return result.close('left');
    side = result;
    onSide(side);
  });
  return () => {
    isWanted = false;
    side?.close('left');
  };
}

/** Dials coordinators; `onHeard` sees each message before the session does. */
export function dialCoordinators(
  network: Network,
  process: SimProcess,
  dice: Dice,
  onHeard: (heard: Heard) => void,
): SessionPorts['dial'] {
  return (address, handlers): SessionLine => {
    let line: Side<WorkerMessage, Heard> | undefined;
    const onSide = (side: Side<WorkerMessage, Heard>): void => {
      line = side;
      side.events = {
        onMessage: (heard) => {
          onHeard(heard);
          handlers.onMessage(heard.message);
        },
        onClosed: handlers.onLost,
      };
      handlers.onOpen();
    };
    const drop = open(network, process, address, onSide, handlers.onLost);
    return {
      send: (message) => {
        // No coordinator of a simulation asks for a trace.
        if (isTraceAnswer(message)) return;
        if (network.isLossy && repeated.has(message.kind)) line?.sendLoosely(message, dice);
        else line?.send(message);
      },
      drop,
      end: (onEnded) => {
        drop();
        onEnded();
      },
    };
  };
}

/** The way to a peer's exchange. */
export function peerChannel(
  network: Network,
  process: SimProcess,
  address: string,
): PeerChannel<SimVector> {
  return {
    open: (hello, { onFrame, onEnd }) => {
      let stream: Side<Request, Frame> | undefined;
      const onClosed = (reason: string): void => onEnd(reason, isRefusal(reason));
      const onSide = (side: Side<Request, Frame>): void => {
        stream = side;
        side.events = {
          onMessage: ({ header, values }) => onFrame(header, values ?? []),
          onClosed,
        };
        side.send({ kind: 'hello', hello });
      };
      const cancel = open(network, process, address, onSide, onClosed);
      return { ask: (pull) => stream?.send({ kind: 'pull', pull }), cancel };
    },
    // A simulated message is there or not.
    receivedBytes: () => 0,
    close: () => undefined,
  };
}

/** A stream that a peer has opened to a worker's exchange; it is `held` until it is welcomed. */
export function incomingCall(incoming: Side, held: Set<Side>): IncomingCall<SimVector> {
  const side = incoming as Side<Frame, Request>;
  held.add(incoming);
  return {
    listen: ({ onRequest, onClosed }) => {
      side.events = {
        onMessage: onRequest,
        onClosed: () => {
          held.delete(incoming);
          onClosed();
        },
      };
    },
    write: (frame, onSent) => {
      held.delete(incoming);
      side.send(frame, onSent);
    },
    refuse: (code, reason) => {
      held.delete(incoming);
      side.close(`${code}: ${reason}`);
    },
    end: () => side.close('the end'),
  };
}

/** Where a worker hands out states, beside its exchange. */
export function stateAddress(address: string): string {
  return `${address}/state`;
}

const complete = 'complete';

/** The way to a donor. The simulated compute thread takes chunks at once: nothing has to pause. */
export function donorChannel(network: Network, process: SimProcess, donor: string): DonorChannel {
  return {
    ask: (request, { onFrame, onEnd, onBroken }) => {
      const onClosed = (reason: string): void =>
        reason === complete ? onEnd() : onBroken(reason, reason.startsWith('RESOURCE_EXHAUSTED'));
      const onSide = (side: Side<StateRequest, StateFrame>): void => {
        side.events = { onMessage: onFrame, onClosed };
        side.send(request);
      };
      const cancel = open(network, process, stateAddress(donor), onSide, onClosed);
      return { pause: () => undefined, resume: () => undefined, cancel };
    },
    receivedBytes: () => 0,
    close: () => undefined,
  };
}

/** Waits for the request on a stream that a peer has opened. */
export function acceptStateCall(incoming: Side, onCall: (call: StateCall) => void): void {
  const side = incoming as Side<StateFrame, StateRequest>;
  const onMessage = (request: StateRequest): void =>
    onCall({
      request,
      listen: (onGone) => {
        side.events = { onMessage: () => undefined, onClosed: onGone };
      },
      write: (frame, onSent) => side.send(frame, onSent),
      end: () => side.close(complete),
      refuse: (code, reason) => side.close(`${code}: ${reason}`),
    });
  side.events = { onMessage, onClosed: () => undefined };
}

/** A lane as if it were on another thread, from which messages take `threadMs`. */
export function laneApart(open: OpenLane, process: SimProcess, threadMs: number): OpenLane {
  const later = (run: () => void): void => process.deliverAfter(threadMs, run);
  return (events) => {
    const lane = open({
      onJoined: (...args) => later(() => events.onJoined(...args)),
      onGathered: (...args) => later(() => events.onGathered(...args)),
      onReduced: (...args) => later(() => events.onReduced(...args)),
      onPeerLost: (lost) => later(() => events.onPeerLost(lost)),
    });
    return {
      join: (world) => later(() => lane.join(world)),
      leave: (onLeft) => later(() => lane.leave(() => later(onLeft))),
      begin: (...args) => later(() => lane.begin(...args)),
      contribute: (...args) => later(() => lane.contribute(...args)),
      publish: (...args) => later(() => lane.publish(...args)),
      mute: (...args) => later(() => lane.mute(...args)),
      close: (onClosed) => later(() => lane.close(() => later(onClosed))),
    };
  };
}

/** What gives the values of a world; `vectorAt` finds what lies at a place. */
export function createSimValues(vectorAt: (place: Place) => SimVector) {
  return (world: ExchangeWorld, plan: FoldPlan): ChunkValues<SimVector> => {
    const [contributions, results] = [
      world.contributions.map(vectorAt),
      world.results.map(vectorAt),
    ];
    return valuesOfVectors(world, contributions, results, plan);
  };
}

function valuesOfVectors(
  { rank, microShards, lane, lanes }: ExchangeWorld,
  contributions: readonly SimVector[],
  results: readonly SimVector[],
  plan: FoldPlan,
): ChunkValues<SimVector> {
  /** A lane numbers its own chunks from 0; vectors have all of them. */
  const inVector = (chunk: number): number => lane + lanes * chunk;
  const held = new Map<string, ChunkValue>();
  let result = results[0];
  const take = (chunk: number, node: number): ChunkValue => {
    const own = plan.heldBy[rank].indexOf(node);
    if (own >= 0) return contributions[own][inVector(chunk)];
    const value = held.get(`${chunk}:${node}`)!;
    held.delete(`${chunk}:${node}`);
    return value;
  };
  return {
    begin: ({ step }) => {
      held.clear();
      result = results[step % 2 === 0 ? 0 : 1];
    },
    perform: (effect, received) => {
      const { chunk } = effect;
      if (effect.kind === 'hold') held.set(`${chunk}:${effect.node}`, received![0]);
      else if (effect.kind === 'store') result[inVector(chunk)] = received![0];
      else {
        const left = take(chunk, effect.left);
        const sum = effect.right === undefined ? left : add(left, take(chunk, effect.right));
        if (effect.kind === 'add') held.set(`${chunk}:${effect.node}`, sum);
        else result[inVector(chunk)] = scale(sum, microShards);
      }
    },
    valuesOf: ({ header: { step, chunk }, contribution }) => {
      const vector =
        contribution === undefined ? results[step % 2 === 0 ? 0 : 1] : contributions[contribution];
      return [vector[inVector(chunk)]];
    },
  };
}
