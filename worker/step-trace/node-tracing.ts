// The network thread's part in a trace: it answers at once when it is asked for the time, records
// the exchange, and sends what both threads have recorded, a little at a time and never too much.

import { clockUs, type Clock } from '../../shared/clock.js';
import {
  spansPerMessage,
  type StepSpan,
  type TraceAnswer,
  type TraceOrder,
} from '../../shared/control/tracing.js';
import type { ExchangeRecorder } from '../exchange/exchange.js';
import type { ToCompute, ToNetwork } from '../network/ports.js';
import { recordExchange } from './exchange-recorder.js';

/** Spans that wait to be sent at most, and that a trace has in all: some 32 MiB. */
const maxSpans = 100_000;

/** Between two messages, so that heartbeats are not held up behind them. */
const sendMs = 20;

/** Messages that may be sent at once by a worker that leaves. */
const mostAtOnce = 50;

/** Peers may still take results of the last step: so long they are recorded. */
const lingerMs = 300;

export interface NodeTracing {
  /** A message of the coordinator; `send` reaches it, or nobody. */
  onOrder(order: TraceOrder, send: (answer: TraceAnswer) => void): void;
  /** What the compute thread has recorded. */
  onRecorded(recorded: ToNetwork & { readonly kind: 'recorded' }): void;
  /** A fact about this worker that is worth a mark. */
  happened(fact: Pick<StepSpan, 'name' | 'peer' | 'step' | 'generation'>): void;
  /** Whoever asked for the trace is gone. */
  stop(): void;
  /** This worker leaves: sends what there is. */
  leave(): void;
  /** For the exchange. */
  readonly recordStep: ExchangeRecorder;
}

interface TakenTrace {
  readonly order: TraceOrder & { readonly kind: 'trace' };
  readonly send: (answer: TraceAnswer) => void;
  readonly waiting: StepSpan[];
  taken: number;
  dropped: number;
  /** When the compute thread had nothing more to record. */
  overMs: number | undefined;
}

/** Created once; costs nothing until it is asked. */
export function createNodeTracing(
  clock: Clock,
  toCompute: (message: ToCompute) => void,
): NodeTracing {
  let trace: TakenTrace | undefined;
  let stopSending: () => void = () => undefined;

  const add = (span: StepSpan): void => {
    if (trace === undefined) return;
    if (trace.taken >= maxSpans) trace.dropped += 1;
    else {
      trace.taken += 1;
      trace.waiting.push(span);
    }
  };
  const end = (): void => {
    stopSending();
    trace = undefined;
  };
  const sendSome = (isLeaving = false): void => {
    if (trace === undefined) return;
    const { order, send, waiting, dropped, overMs } = trace;
    const spans = waiting.splice(0, spansPerMessage);
    const isOver = isLeaving || (overMs !== undefined && clock.nowMs() - overMs >= lingerMs);
    const isLast = isOver && waiting.length === 0;
    if (spans.length === 0 && !isLast) return;
    if (isLast) end();
    send({ kind: 'spans', id: order.id, spans, dropped, isLast });
  };
  const begin = (order: TakenTrace['order'], send: TakenTrace['send']): void => {
    const { id, firstStep, steps } = order;
    if (steps > 0) {
      end();
      trace = { order, send, waiting: [], taken: 0, dropped: 0, overMs: undefined };
      stopSending = clock.every(sendMs, () => sendSome());
    } else if (trace?.order.id !== id) return;
    toCompute({ kind: 'record', id, firstStep, endStep: firstStep + steps });
  };
  return {
    onOrder: (order, send) => {
      if (order.kind === 'trace') return begin(order, send);
      const receivedUs = clockUs();
      const { id, sentUs } = order;
      send({ kind: 'clockReply', id, sentUs, receivedUs, repliedUs: clockUs() });
    },
    onRecorded: ({ id, spans, isLast }) => {
      if (trace?.order.id !== id) return;
      for (const span of spans) add(span);
      if (isLast) trace.overMs ??= clock.nowMs();
    },
    happened: (fact) => {
      if (trace?.overMs === undefined) add({ thread: 'network', startUs: clockUs(), ...fact });
    },
    stop: () => {
      if (trace === undefined) return;
      toCompute({ kind: 'record', id: trace.order.id, firstStep: 0, endStep: 0 });
      end();
    },
    leave: () => {
      for (let sent = 0; trace !== undefined && sent < mostAtOnce; sent++) sendSome(true);
      end();
    },
    recordStep: (place, step) => {
      if (trace === undefined) return undefined;
      const { firstStep, steps } = trace.order;
      const isWanted = step + 1 >= firstStep && step + 1 < firstStep + steps;
      return isWanted ? recordExchange(place, step, add) : undefined;
    },
  };
}
