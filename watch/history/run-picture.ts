// The picture of a run, from the facts of its history.

import { termOf } from '../../shared/words.js';
import type { CountedSteps } from './counted-steps.js';
import type { EventLists, EventOf } from './event-lists.js';
import { sentBytesOf, type Observations } from './observations.js';
import type { Evaluated, Goodput, Happening, RunPicture } from './picture.js';
import { valueAt, type StepRows } from './step-rows.js';
import { byMoment, skippedAt, type WorldLine } from './world-line.js';

const maxSampleSteps = 2_000;
const maxNews = 20;

/** What all the views of a history are taken from; made anew after an event. */
export interface HistoryFacts {
  readonly events: EventLists;
  readonly observed: Observations;
  readonly rows: StepRows;
  readonly counted: CountedSteps;
  /** Evaluations that count, in the order of steps. */
  readonly evaluations: readonly Evaluated[];
  readonly worldLine: WorldLine;
  readonly goodput: Goodput;
  /** Of steps that are not kept any more. */
  readonly gone: { readonly redone: number; readonly skipped: number };
  /** The newest event's time. */
  readonly time: string;
}

/** How a run ended. */
type End = EventOf<'run.finished'> | EventOf<'run.stopped'> | EventOf<'run.failed'>;

/** The picture at the newest event. */
export function pictureOf(facts: HistoryFacts): RunPicture {
  const { events, observed, rows, counted, evaluations, worldLine, goodput, gone, time } = facts;
  const started = newestOf(events, 'run.started');
  const world = newestWorld(events);
  const saved = newestCheckpoint(events);
  const row = counted.rows.at(-1);
  const end = endOf(facts);
  const evaluation = evaluations.at(-1);
  const best = bestOf(evaluations);
  const rateOf = (name: string): number => valueAt(rows.column(name), row ?? -1) ?? 0;
  const steps = row === undefined ? 0 : rows.step[row];
  const step = Math.max(steps, ...[started, world, saved].map((one) => one?.data.step ?? 0));
  return {
    run: started?.data.run ?? end?.data.run ?? '',
    url: started?.data.url ?? end?.data.url ?? '',
    state: end === undefined ? stateOf(facts) : kindOfEnd(end),
    reason: end?.data.reason ?? '',
    ...(end === undefined ? {} : { exit_code: end.data.exit_code }),
    ...{ started: firstTime(facts), time, progressed: progressTime(facts), step },
    last_step: started?.data.last_step ?? 0,
    until: started?.data.until ?? 0,
    phase: row === undefined ? phaseAt(step, started) : rows.phaseOf(row),
    phases: started?.data.phases ?? [],
    images_per_step: started?.data.images_per_step ?? 0,
    term: Math.max(started?.data.term ?? 0, termOf(world?.data.generation ?? 0)),
    generation: world?.data.generation ?? 0,
    target: newestOf(events, 'run.scaled')?.data.workers ?? world?.data.members.length ?? 0,
    images_per_s: end?.data.images_per_s ?? rateOf('images_per_s'),
    eta_s: end === undefined ? rateOf('eta_s') : 0,
    metrics: row === undefined ? {} : rows.metricsOf(row),
    ...(evaluation === undefined ? {} : { evaluation }),
    ...(best === undefined ? {} : { best }),
    ...(saved === undefined ? {} : { checkpoint: checkpointOf(saved) }),
    ...observedOf(observed, world),
    fingerprint: world?.data.fingerprint ?? '',
    health: healthOf(events),
    goodput,
    counts: {
      worlds: events.count('world.formed'),
      ...{ joined: worldLine.joined, lost: worldLine.lost, drained: worldLine.drained },
      skipped: counted.skipped + gone.skipped,
      redone: counted.redone + gone.redone,
      checkpoints: events.count('checkpoint.committed'),
      terms: new Set(events.of('run.started').map(({ data }) => data.term)).size,
    },
    sample_steps: thinnedOut(evaluations.map((one) => one.step)),
    news: newsOf(facts),
  };
}

function newestOf<T extends 'run.started' | 'run.scaled' | 'run.judged'>(
  events: EventLists,
  type: T,
): EventOf<T> | undefined {
  return events.of(type).at(-1);
}

function newestWorld(events: EventLists): EventOf<'world.formed'> | undefined {
  return events
    .of('world.formed')
    .reduce<EventOf<'world.formed'> | undefined>(
      (newest, one) =>
        newest === undefined || one.data.generation > newest.data.generation ? one : newest,
      undefined,
    );
}

/** The whole checkpoint of the highest step. */
function newestCheckpoint(events: EventLists): EventOf<'checkpoint.committed'> | undefined {
  return events
    .of('checkpoint.committed')
    .reduce<EventOf<'checkpoint.committed'> | undefined>(
      (newest, one) => (newest === undefined || one.data.step >= newest.data.step ? one : newest),
      undefined,
    );
}

function checkpointOf({ time, data: { step, sha256 } }: EventOf<'checkpoint.committed'>) {
  return { step, sha256, time };
}

/** The end of the run, unless it has gone on since. */
function endOf({ events, rows }: HistoryFacts): End | undefined {
  const newest = [
    events.of('run.finished').at(-1),
    events.of('run.stopped').at(-1),
    events.of('run.failed').at(-1),
  ].reduce<End | undefined>(
    (last, one) => (one !== undefined && (last === undefined || one.time > last.time) ? one : last),
    undefined,
  );
  if (newest === undefined) return undefined;
  const timeMs = Date.parse(newest.time);
  const since = [events.of('run.started').at(-1), events.of('world.formed').at(-1)];
  if (since.some((one) => one !== undefined && one.time > newest.time)) return undefined;
  const lastRow = rows.byTime().at(-1);
  return lastRow !== undefined && rows.time[lastRow] > timeMs ? undefined : newest;
}

function kindOfEnd({ type }: End): 'finished' | 'stopped' | 'failed' {
  return type.slice('run.'.length) as 'finished' | 'stopped' | 'failed';
}

function stateOf({ events, rows, time }: HistoryFacts): RunPicture['state'] {
  const started = newestOf(events, 'run.started');
  const lastRow = rows.byTime().at(-1);
  const steppedMs = lastRow === undefined ? -1 : rows.time[lastRow];
  if (started === undefined)
    return time === '' ? 'unknown' : steppedMs < 0 ? 'starting' : 'running';
  return steppedMs >= Date.parse(started.time) ? 'running' : 'starting';
}

function firstTime({ events, rows }: HistoryFacts): string {
  const first = events.all().at(0)?.time;
  const row = rows.byTime().at(0);
  if (row === undefined) return first ?? '';
  const stepped = new Date(rows.time[row]).toISOString();
  return first === undefined || stepped < first ? stepped : first;
}

/** A coordinator that starts again, without a stop in between, does not bring the run forward. */
function progressTime({ events, rows }: HistoryFacts): string {
  const halted = [events.of('run.stopped').at(-1)?.time, events.of('run.finished').at(-1)?.time];
  const since = halted.reduce<string>((last, time = '') => (time > last ? time : last), '');
  const start = events.of('run.started').find(({ time }) => time > since)?.time ?? '';
  const row = rows.byTime().at(-1);
  const stepped = row === undefined ? '' : new Date(rows.time[row]).toISOString();
  return stepped > start ? stepped : start;
}

/** The phase of the step after this one. */
function phaseAt(step: number, started: EventOf<'run.started'> | undefined): string {
  let end = 0;
  const phases = started?.data.phases ?? [];
  return phases.find(({ steps }) => (end += steps) > step)?.name ?? phases.at(-1)?.name ?? '';
}

/** The workers as they were observed last; of a world that was formed since, its members. */
function observedOf(
  observations: Observations,
  world: EventOf<'world.formed'> | undefined,
): Pick<RunPicture, 'workers' | 'straggler' | 'bytes_per_step'> {
  const observed = observations.newest()?.data;
  const bytes = observed === undefined ? 0 : sentBytesOf(observed);
  if (world === undefined || (observed !== undefined && !isOlder(observed, world)))
    return {
      workers: observed?.workers ?? [],
      straggler: observed?.straggler ?? null,
      bytes_per_step: bytes,
    };
  const known = new Map(observed?.workers.map((one) => [one.worker, one]));
  const workers = world.data.members.map(({ worker, rank, address }) => {
    const view = known.get(worker) ?? newWorker(worker, address, world.data.step);
    return { ...view, rank };
  });
  return { workers, straggler: null, bytes_per_step: bytes };
}

function isOlder(
  observed: { readonly generation: number },
  world: EventOf<'world.formed'>,
): boolean {
  return observed.generation < world.data.generation;
}

function newWorker(worker: string, address: string, step: number) {
  return {
    ...{ worker, stage: 'entering', step, host: address.replace(/:\d+$/, '') },
    seconds: { data: 0, compute: 0, exchange: 0, update: 0 },
    ...{ waited_for: null, sent_bytes: 0, received_bytes: 0 },
  };
}

function healthOf(events: EventLists): string {
  const judged = newestOf(events, 'run.judged');
  return judged === undefined || judged.data.verdict === 'healthy' ? '' : judged.data.text;
}

function bestOf(evaluations: readonly Evaluated[]): RunPicture['best'] {
  let best: { step: number; psnr: number } | undefined;
  for (const { step, psnr } of evaluations)
    if (psnr !== null && (best === undefined || psnr > best.psnr)) best = { step, psnr };
  return best;
}

/** Evenly, with the first and the last. */
function thinnedOut(steps: readonly number[]): number[] {
  if (steps.length <= maxSampleSteps) return [...steps];
  const last = maxSampleSteps - 1;
  return Array.from(
    { length: maxSampleSteps },
    (_, i) => steps[Math.round((i * (steps.length - 1)) / last)],
  );
}

function newsOf({ worldLine, rows, counted }: HistoryFacts): Happening[] {
  const news = worldLine.happenings.slice(-maxNews);
  const skipped: Happening[] = [];
  for (let i = counted.rows.length - 1; i >= 0 && skipped.length < maxNews; i--) {
    const row = counted.rows[i];
    if (rows.skipped[row] === 1) skipped.push(skippedAt(rows, row));
  }
  return [...news, ...skipped].sort(byMoment).slice(-maxNews);
}
