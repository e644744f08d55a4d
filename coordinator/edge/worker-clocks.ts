// Workers' clocks against the coordinator's: asks a worker for its time, again and again, until the
// error is small.

import { clockUs, type Clock } from '../../shared/clock.js';
import type { ClockEstimate, ClockReply, TraceOrder } from '../../shared/control/tracing.js';
import { readClock, type ClockExchange } from '../../watch/step-trace/clocks.js';

/** Questions for the time, at least and at most; more than the least while the error is large. */
const [fewestAsks, mostAsks] = [16, 128];
const soundErrorUs = 300;

/** A question that is not answered within this time is asked again, so many times. */
const askMs = 1_000;
const mostMissed = 3;

/** Measures clocks of workers. */
export interface WorkerClocks {
  /** A worker's answer, as soon as it is there. */
  onReply(reply: ClockReply): void;
  /** One estimate, or none where the worker does not answer. */
  measure(worker: string, signal: AbortSignal): Promise<ClockEstimate[]>;
}

/** Asks by `send`, which does nothing for a worker that is gone. */
export function createWorkerClocks(
  clock: Clock,
  send: (worker: string, message: TraceOrder) => void,
): WorkerClocks {
  const questions = new Map<number, (exchange: ClockExchange) => void>();
  let ids = 0;

  const ask = (worker: string): Promise<ClockExchange | undefined> =>
    new Promise((resolve) => {
      const id = ++ids;
      const done = (exchange: ClockExchange | undefined): void => {
        stopTimer();
        questions.delete(id);
        resolve(exchange);
      };
      const stopTimer = clock.after(askMs, () => done(undefined));
      questions.set(id, done);
      send(worker, { kind: 'clockAsk', id, sentUs: clockUs() });
    });
  const measure: WorkerClocks['measure'] = async (worker, signal) => {
    const exchanges: ClockExchange[] = [];
    let reading = readClock(exchanges);
    for (let missed = 0; missed < mostMissed && !signal.aborted;) {
      const isSound = reading !== undefined && reading.errorUs <= soundErrorUs;
      if (exchanges.length >= (isSound ? fewestAsks : mostAsks)) break;
      const exchange = await ask(worker);
      if (exchange === undefined) missed += 1;
      else exchanges.push(exchange);
      reading = readClock(exchanges);
    }
    return reading === undefined ? [] : [{ ...reading, exchanges: exchanges.length }];
  };
  return {
    onReply: (reply) => questions.get(reply.id)?.({ ...reply, answeredUs: clockUs() }),
    measure,
  };
}
