// A trace of steps in the Trace Event Format, which Perfetto and Chrome open: a process for each
// worker, its threads in it, arrows from who sent a chunk to who received it. All times are the
// coordinator's, beginning at 0.

import type { StepSpan, TraceEnded, TraceStarted } from '../../shared/control/tracing.js';
import { alignClock, type ClockAlignment } from './clocks.js';

/** A trace that was taken. */
export interface TakenTrace {
  readonly started: TraceStarted;
  readonly ended: TraceEnded;
  /** What each worker has recorded, on its own clock. */
  readonly spans: ReadonlyMap<string, readonly StepSpan[]>;
}

/** What is to be said of one worker's part. */
export interface TracedPart {
  readonly worker: string;
  readonly rank: number;
  readonly spans: number;
  /** Spans that there was no room for. */
  readonly dropped: number;
  /** Its clock minus the coordinator's; null where it could not be measured. */
  readonly clock_offset_ms: number | null;
  /** The times of this worker are wrong by at most so much. */
  readonly clock_error_ms: number | null;
  readonly clock_drift_ppm: number | null;
  /** Why not all of it is there; empty when it is. */
  readonly trouble: string;
}

/** What is to be said of a trace; it is in the file as well. */
export interface TraceSummary {
  readonly run: string;
  readonly first_step: number;
  readonly steps: number;
  readonly workers: readonly TracedPart[];
}

/** An event of the Trace Event Format; `ts` and `dur` are microseconds. */
export interface ChromeEvent {
  readonly ph: 'X' | 'i' | 's' | 'f' | 'M';
  readonly name: string;
  readonly cat?: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  /** Of an arrow's two ends. Perfetto knows whole numbers only. */
  readonly id?: number;
  readonly bp?: 'e';
  readonly s?: 't';
  readonly args?: Readonly<Record<string, unknown>>;
}

/** Threads in the order that they are shown in; devices come behind the first. */
const threads = ['compute', 'exchange', 'network'];

interface AlignedWorker {
  readonly part: TracedPart;
  readonly pid: number;
  readonly title: string;
  readonly spans: readonly StepSpan[];
  readonly align: (us: number) => number;
}

/** Puts a trace together: what is said of it, and its events. */
export function chromeTrace(trace: TakenTrace): {
  readonly summary: TraceSummary;
  readonly events: readonly ChromeEvent[];
} {
  const { run, firstStep, steps } = trace.started;
  const workers = trace.started.workers.map((one) => alignWorker(trace, one));
  const originUs = workers.reduce(
    (least, { spans, align }) =>
      spans.reduce((first, { startUs }) => Math.min(first, align(startUs)), least),
    Infinity,
  );
  const events = workers.flatMap((worker) => [...namesOf(worker), ...spanEvents(worker, originUs)]);
  return {
    summary: { run, first_step: firstStep, steps, workers: workers.map(({ part }) => part) },
    events: [...events, ...arrows(workers, originUs)],
  };
}

/** The file, a line for each event: whole it might be longer than a string can be. */
export function* chromeTraceLines(
  summary: TraceSummary,
  events: readonly ChromeEvent[],
): Generator<string> {
  yield `{"displayTimeUnit":"ms","otherData":${JSON.stringify(summary)},"traceEvents":[\n`;
  for (const [i, event] of events.entries())
    yield `${JSON.stringify(event)}${i + 1 < events.length ? ',' : ''}\n`;
  yield ']}\n';
}

function alignWorker(
  { ended, spans }: TakenTrace,
  { worker, rank, host, pid, clock }: TraceStarted['workers'][number],
): AlignedWorker {
  const outcome = ended.workers.find((one) => one.worker === worker);
  const own = spans.get(worker) ?? [];
  const untilUs = own.reduce((last, span) => Math.max(last, endOf(span)), 0);
  const alignment = alignClock(outcome?.clock ?? clock, untilUs);
  return {
    part: partOf(worker, rank, own.length, outcome, alignment),
    // Chrome shows processes by number; 0 is the scheduler's.
    pid: rank + 1,
    title: `${worker} (rank ${rank}, pid ${pid} on ${host})`,
    spans: own,
    align: alignment?.align ?? ((us) => us),
  };
}

function partOf(
  worker: string,
  rank: number,
  spans: number,
  outcome: TraceEnded['workers'][number] | undefined,
  alignment: ClockAlignment | undefined,
): TracedPart {
  const drift = alignment?.driftPpm;
  return {
    ...{ worker, rank, spans, dropped: outcome?.dropped ?? 0 },
    clock_offset_ms: alignment === undefined ? null : millis(alignment.offsetUs),
    clock_error_ms: alignment === undefined ? null : millis(alignment.errorUs),
    clock_drift_ppm: drift === undefined ? null : Math.round(10 * drift) / 10,
    trouble: outcome?.trouble ?? 'the trace was broken off',
  };
}

function millis(us: number): number {
  return Math.round(us) / 1000;
}

function endOf({ startUs, durationUs = 0 }: StepSpan): number {
  return startUs + durationUs;
}

function namesOf({ pid, title, spans }: AlignedWorker): ChromeEvent[] {
  const names = [...new Set(spans.map(({ thread }) => thread))];
  const meta = (name: string, tid: number, args: ChromeEvent['args']): ChromeEvent => {
    return { ph: 'M', name, pid, tid, args };
  };
  return [
    meta('process_name', 0, { name: title }),
    meta('process_sort_index', 0, { sort_index: pid }),
    ...names.flatMap((name) => [
      meta('thread_name', threadId(name), { name }),
      meta('thread_sort_index', threadId(name), { sort_index: threadId(name) }),
    ]),
  ];
}

/** "device 1" and so on lie between compute and exchange. */
function threadId(thread: string): number {
  const device = /^device (\d{1,3})$/.exec(thread)?.[1];
  return device === undefined ? 1 + 1000 * (threads.indexOf(thread) + 1) : 1001 + Number(device);
}

/** Outer spans come before inner ones. */
function spanEvents({ pid, spans, align }: AlignedWorker, originUs: number): ChromeEvent[] {
  const at = (us: number): number => Math.round(1000 * (align(us) - originUs)) / 1000;
  return [...spans]
    .sort((a, b) => a.startUs - b.startUs || endOf(b) - endOf(a))
    .map((span): ChromeEvent => {
      const ts = at(span.startUs);
      const place = { pid, tid: threadId(span.thread), ts, args: argumentsOf(span) };
      const named = { name: titleOf(span), cat: span.thread };
      if (span.durationUs === undefined) return { ph: 'i', s: 't', ...named, ...place };
      const dur = Math.round(1000 * (at(endOf(span)) - ts)) / 1000;
      return { ph: 'X', ...named, ...place, dur };
    });
}

/** "compute micro-shard 3", "receive chunk 7 from w-2" */
function titleOf({ name, microShard, chunk, peer }: StepSpan): string {
  if (microShard !== undefined) return `${name} micro-shard ${microShard}`;
  if (chunk === undefined) return peer === undefined ? name : `${name}: ${peer}`;
  const way = name === 'send' ? 'to' : 'from';
  return `${name} chunk ${chunk}${peer === undefined ? '' : ` ${way} ${peer}`}`;
}

function argumentsOf(span: StepSpan): Record<string, unknown> {
  const { step, generation, microShard, chunk, phase, peer, bytes, firstLeaf, endLeaf } = span;
  const sum = firstLeaf === undefined ? undefined : `[${firstLeaf}, ${endLeaf ?? ''})`;
  const waited = span.askedUs === undefined ? undefined : millis(span.startUs - span.askedUs);
  const of = { step, generation, micro_shard: microShard, chunk, phase, peer, bytes };
  return { ...of, sum_of_leaves: phase === 'reduce' ? sum : undefined, ms_after_asked: waited };
}

/** An arrow for each frame whose two ends were recorded. */
function arrows(workers: readonly AlignedWorker[], originUs: number): ChromeEvent[] {
  const sent = new Map<string, { readonly from: AlignedWorker; readonly span: StepSpan }>();
  for (const from of workers)
    for (const span of from.spans)
      if (span.name === 'send')
        sent.set(frameKey(span, from.part.worker, span.peer), { from, span });
  let id = 0;
  return workers.flatMap((to) =>
    to.spans.flatMap((span) => {
      if (span.name !== 'receive') return [];
      const start = sent.get(frameKey(span, span.peer, to.part.worker));
      if (start === undefined) return [];
      id += 1;
      const at = (worker: AlignedWorker, of: StepSpan) => ({
        pid: worker.pid,
        tid: threadId(of.thread),
        ts: Math.round(1000 * (worker.align(of.startUs) - originUs)) / 1000,
      });
      const named = { name: 'chunk', cat: 'exchange', id };
      return [
        { ph: 's', ...named, ...at(start.from, start.span) },
        { ph: 'f', bp: 'e', ...named, ...at(to, span) },
      ] satisfies ChromeEvent[];
    }),
  );
}

function frameKey(span: StepSpan, from = '', to = ''): string {
  const { generation, step, phase, chunk, firstLeaf, endLeaf } = span;
  return [generation, step, phase, chunk, firstLeaf, endLeaf, from, to].join(' ');
}
