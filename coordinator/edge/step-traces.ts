// Traces of steps, asked for by an operator: measures every worker's clock, has all workers of the
// world record the same next steps, and passes on what they send. It watches; nothing that it does
// or misses changes a decision.

import type { Clock } from '../../shared/clock.js';
import type { RunStatus, RunWorker } from '../../shared/control/admin.js';
import {
  maxTracedSteps,
  type ClockEstimate,
  type TraceAnswer,
  type TraceOrder,
  type TraceReply,
} from '../../shared/control/tracing.js';
import { OperatorError } from '../../shared/problems.js';
import { createWorkerClocks } from './worker-clocks.js';

/** Workers whose clocks are measured at a time: more would wait for each other. */
const lanes = 4;

/** The order must be there before its first step is taken. */
const orderS = 0.5;

/** Spans of all workers together; beyond, they are dropped and counted. */
const maxSpans = 400_000;

/** A trace in which so long nothing moves is given up; a step may itself be long. */
const quietMs = 60_000;
const quietSteps = 20;

const lookMs = 100;

export interface StepTracePorts {
  readonly clock: Clock;
  status(): RunStatus;
  /** Does nothing when the worker has no session. */
  send(worker: string, message: TraceOrder): void;
}

/** The traces of one run, one at a time. */
export interface StepTraces {
  /** What a worker says of a trace, as soon as it is there. */
  onAnswer(worker: string, answer: TraceAnswer): void;
  /**
   * Traces the next `steps` steps, as far as the run has them. Rejects with an OperatorError when
   * there is nothing to trace; gives up, with what there is, when the signal is aborted.
   */
  trace(steps: number, onReply: TraceReader, signal: AbortSignal): Promise<void>;
}

/** Takes what there is of a trace; false where it has no room for a part, which is dropped. */
export type TraceReader = (reply: TraceReply) => boolean;

/** A worker that is traced. */
interface TracedMember {
  readonly view: RunWorker;
  readonly clock: ClockEstimate[];
  dropped: number;
  trouble: string;
  isDone: boolean;
}

interface OpenTrace {
  readonly id: number;
  readonly members: ReadonlyMap<string, TracedMember>;
  readonly onReply: TraceReader;
  spans: number;
  /** The last step that is traced. */
  readonly lastStep: number;
  /** When a span came last, or the run took a step. */
  movedMs: number;
}

/** Creates the traces of a run that is led. */
export function createStepTraces({ clock, status, send }: StepTracePorts): StepTraces {
  const clocks = createWorkerClocks(clock, send);
  let ids = 0;
  let isTaken = false;
  let open: OpenTrace | undefined;

  const measureAll = async (members: OpenTrace['members'], signal: AbortSignal): Promise<void> => {
    const left = [...members].filter(([, { trouble }]) => trouble === '');
    const lane = async (): Promise<void> => {
      for (let next = left.shift(); next !== undefined; next = left.shift())
        next[1].clock.push(...(await clocks.measure(next[0], signal)));
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  };
  const take = async (asked: number, onReply: TraceReader, signal: AbortSignal): Promise<void> => {
    const members = membersOf(status());
    await measureAll(members, signal);
    const now = status();
    const { firstStep, steps, stepS } = nextSteps(now, asked);
    const id = ++ids;
    const lastStep = firstStep + steps - 1;
    const trace = { id, members, onReply, lastStep, spans: 0, movedMs: clock.nowMs() };
    open = trace;
    const workers = [...members.values()].map(({ view, clock: readings }) => {
      const { worker, rank, host, pid } = view;
      return { worker, rank, host, pid, clock: [...readings] };
    });
    onReply({ kind: 'traceStarted', run: now.run, firstStep, steps, workers });
    for (const worker of members.keys()) send(worker, { kind: 'trace', id, firstStep, steps });
    await collect(trace, { clock, status }, Math.max(quietMs, 1000 * quietSteps * stepS), signal);
    for (const [worker, { isDone, trouble }] of members)
      if (!isDone || trouble !== '') send(worker, { kind: 'trace', id, firstStep, steps: 0 });
    await measureAll(members, signal);
    onReply({ kind: 'traceEnded', workers: [...members].map(outcomeOf) });
  };
  return {
    onAnswer: (worker, answer) => {
      if (answer.kind === 'clockReply') return clocks.onReply(answer);
      if (open?.id === answer.id) receive(open, worker, answer, clock.nowMs());
    },
    trace: async (steps, onReply, signal) => {
      if (!(Number.isInteger(steps) && steps >= 1 && steps <= maxTracedSteps)) {
        const allowed = `a whole number from 1 to ${maxTracedSteps}`;
        throw new OperatorError('no such trace', [{ key: '--steps', given: steps, allowed }]);
      }
      if (isTaken) throw new OperatorError('a trace of this run is being taken: try again', []);
      isTaken = true;
      try {
        await take(steps, onReply, signal);
      } finally {
        isTaken = false;
        open = undefined;
      }
    },
  };
}

/** Resolves when every worker has sent its last, is lost, or nothing moves any more. */
function collect(
  trace: OpenTrace,
  { clock, status }: Pick<StepTracePorts, 'clock' | 'status'>,
  stillMs: number,
  signal: AbortSignal,
): Promise<void> {
  const quiet = `nothing came of it for ${Math.round(stillMs / 1000)} s`;
  let { step } = status();
  return new Promise((resolve) => {
    const stopLooking = clock.every(lookMs, () => {
      const now = status();
      if (now.step > step && step <= trace.lastStep) trace.movedMs = clock.nowMs();
      step = Math.max(step, now.step);
      const isQuiet = clock.nowMs() - trace.movedMs > stillMs;
      for (const member of trace.members.values())
        if (!member.isDone) giveUp(member, lossOf(member.view, now) ?? (isQuiet ? quiet : ''));
      const isOver = [...trace.members.values()].every(({ isDone }) => isDone);
      if (!isOver && !signal.aborted) return;
      stopLooking();
      resolve();
    });
  });
}

/** Takes what a worker has recorded, as far as there is room. */
function receive(
  trace: OpenTrace,
  worker: string,
  { spans, dropped, isLast }: TraceAnswer & { readonly kind: 'spans' },
  nowMs: number,
): void {
  const member = trace.members.get(worker);
  if (member === undefined || member.isDone) return;
  const room = spans.slice(0, maxSpans - trace.spans);
  const isTaken = room.length > 0 && trace.onReply({ kind: 'tracePart', worker, spans: room });
  const taken = isTaken ? room.length : 0;
  trace.spans += taken;
  trace.movedMs = nowMs;
  member.dropped = Math.max(member.dropped, dropped) + spans.length - taken;
  member.isDone = isLast;
}

function membersOf({ stage, reason, workers }: RunStatus): OpenTrace['members'] {
  const members = workers.filter(({ rank, isConnected }) => rank >= 0 && isConnected);
  if (stage !== 'running' || members.length === 0) {
    const why = reason === '' ? '' : `: ${reason}`;
    throw new OperatorError(`the run takes no steps now, it is ${stage}${why}`, []);
  }
  return new Map(
    members.map((view): [string, TracedMember] => [
      view.worker,
      { view, clock: [], dropped: 0, trouble: '', isDone: false },
    ]),
  );
}

/** The steps to trace: far enough ahead that all workers hear of them in time. */
function nextSteps(
  { step, until, workers }: RunStatus,
  asked: number,
): { readonly firstStep: number; readonly steps: number; readonly stepS: number } {
  const stepS = Math.max(0, ...workers.filter(({ rank }) => rank >= 0).map(secondsOf));
  const ahead = stepS > 0 ? Math.ceil(orderS / stepS) : 1;
  const firstStep = Math.min(step + 1 + ahead, Math.max(step + 1, until + 1 - asked));
  if (firstStep > until)
    throw new OperatorError(`the run halts after step ${until}: there are no next steps`, []);
  return { firstStep, steps: Math.min(asked, until + 1 - firstStep), stepS };
}

function secondsOf({ pace: { dataS, computeS, exchangeS, updateS } }: RunWorker): number {
  return dataS + computeS + exchangeS + updateS;
}

/** What has become of a worker, if it is not the one that it was. */
function lossOf({ worker, incarnation }: RunWorker, { workers }: RunStatus): string | undefined {
  const now = workers.find((one) => one.worker === worker);
  if (now === undefined || !now.isConnected) return 'it was lost';
  return now.incarnation === incarnation ? undefined : 'it was lost, and has started again';
}

function giveUp(member: TracedMember, trouble: string): void {
  if (trouble === '') return;
  member.trouble = trouble;
  member.isDone = true;
}

function outcomeOf([worker, { clock, dropped, trouble }]: [string, TracedMember]) {
  return { worker, clock, dropped, trouble };
}
