// The run's world over its time, and what happened to it, from the events: who was in the world
// from when to when, who came and who went, and one line for people about everything.

import { termOf } from '../../shared/words.js';
import type { EventLists, EventOf } from './event-lists.js';
import type { Happening, TimeLine, WorldSpan } from './picture.js';
import type { StepRows } from './step-rows.js';

/** Spans of worlds, what happened, and how many came and went. Both in the order of time. */
export interface WorldLine {
  readonly worlds: readonly WorldSpan[];
  readonly happenings: readonly Happening[];
  readonly joined: number;
  readonly drained: number;
  readonly lost: number;
}

type Formed = EventOf<'world.formed'>;

/** A world; and the one before, unless the run had ended in between. */
interface LinkedWorld {
  readonly world: Formed;
  readonly before: Formed | undefined;
  /** Workers that were lost since the one before. */
  readonly lost: ReadonlySet<string>;
}

/** What the events say of the world and of all else that happened, skipped steps apart. */
export function worldLineOf(events: EventLists): WorldLine {
  const changes = linkWorlds(events).flatMap(changesOf);
  const count = (kind: Happening['kind']): number =>
    changes.filter((one) => one.kind === kind).length;
  const told = happeningsOf(events);
  return {
    worlds: spansOf(events),
    happenings: [...told, ...changes].sort(byMoment),
    joined: count('joined'),
    drained: count('drained'),
    lost: count('lost') + events.count('world.lost'),
  };
}

/** Of one moment, causes come first. */
const kinds: readonly Happening['kind'][] = [
  ...(['started', 'term', 'scaled', 'lost', 'drained', 'rolledBack', 'joined', 'world'] as const),
  ...(['skipped', 'health', 'checkpoint', 'sample', 'notice'] as const),
  ...(['finished', 'stopped', 'failed'] as const),
];

/** The order of happenings: by time. */
export function byMoment(a: Happening, b: Happening): number {
  if (a.time !== b.time) return a.time < b.time ? -1 : 1;
  return kinds.indexOf(a.kind) - kinds.indexOf(b.kind) || a.step - b.step;
}

function worldsInOrder(events: EventLists): Formed[] {
  return [...events.of('world.formed')].sort((a, b) => a.data.generation - b.data.generation);
}

/** Of a run, by time. */
interface Border {
  readonly time: string;
  readonly step: number;
}

function bordersOf(
  events: EventLists,
  ...types: ('run.started' | 'run.finished' | 'run.stopped' | 'run.failed')[]
): Border[] {
  return types
    .flatMap((type) => events.of(type).map(({ time, data }) => ({ time, step: data.step })))
    .sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}

const ends = ['run.finished', 'run.stopped', 'run.failed'] as const;

/** The first border that is there; those behind it are as well. */
function firstBorder(
  borders: readonly Border[],
  isThere: (border: Border) => boolean,
): Border | undefined {
  let [low, high] = [0, borders.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isThere(borders[middle])) high = middle;
    else low = middle + 1;
  }
  return borders[low];
}

function linkWorlds(events: EventLists): LinkedWorld[] {
  const worlds = worldsInOrder(events);
  const borders = bordersOf(events, ...ends);
  const losses = [...events.of('world.lost')].sort((a, b) => a.data.generation - b.data.generation);
  let next = 0;
  return worlds.map((world, i) => {
    const before = worlds[i - 1];
    const end = before && firstBorder(borders, ({ time }) => time >= before.time);
    const hasEnded = end !== undefined && end.time <= world.time;
    const lost = new Set<string>();
    for (; next < losses.length; next++) {
      const { generation, worker } = losses[next].data;
      if (generation >= world.data.generation) break;
      lost.add(worker);
    }
    return { world, before: hasEnded ? undefined : before, lost };
  });
}

/** Who joined and who left with a world: by incarnation, or by name under a new coordinator. */
function changesOf({ world, before, lost }: LinkedWorld): Happening[] {
  if (before === undefined) return [];
  const { generation, step, members } = world.data;
  const isSameTerm = termOf(generation) === termOf(before.data.generation);
  const keyOf = (one: Formed['data']['members'][number]): string =>
    isSameTerm ? `${one.worker}#${one.incarnation}` : one.worker;
  const [now, then] = [new Set(members.map(keyOf)), new Set(before.data.members.map(keyOf))];
  const at = { time: world.time, step };
  const left = before.data.members.filter((one) => !now.has(keyOf(one)) && !lost.has(one.worker));
  return [
    ...left.map(({ worker }): Happening => {
      return isSameTerm
        ? { ...at, kind: 'drained', worker, text: `${worker} left` }
        : { ...at, kind: 'lost', worker, text: `${worker} did not come back` };
    }),
    ...members
      .filter((one) => !then.has(keyOf(one)))
      .map(({ worker }): Happening => ({
        ...at,
        kind: 'joined',
        worker,
        text: `${worker} joined`,
      })),
  ];
}

function spansOf(events: EventLists): WorldSpan[] {
  const worlds = worldsInOrder(events);
  const borders = bordersOf(events, ...ends, 'run.started');
  return worlds.map((world, i) => {
    const next = worlds[i + 1];
    const border = firstBorder(borders, ({ time }) => time > world.time);
    const following = next && { time: next.time, step: next.data.step };
    const isBorderFirst = border && (following === undefined || border.time < following.time);
    const end = isBorderFirst ? border : following;
    return {
      generation: world.data.generation,
      ...{ fromTime: world.time, fromStep: world.data.step },
      ...(end === undefined ? {} : { toTime: end.time, toStep: end.step }),
      workers: world.data.members.map(({ worker }) => worker),
      reason: world.data.reason,
    };
  });
}

/** One line for each event that people are told of. */
function happeningsOf(events: EventLists): Happening[] {
  const firstTerm = events.of('run.started').at(0)?.data.term;
  const stepAt = stepsByTime(events);
  return events.all().flatMap((event): Happening[] => {
    const { time } = event;
    switch (event.type) {
      case 'run.started':
        return [startOf(event, firstTerm)];
      case 'run.finished':
      case 'run.stopped':
      case 'run.failed': {
        const kind = event.type.slice(4) as 'finished' | 'stopped' | 'failed';
        const { step, reason } = event.data;
        return [{ time, step, kind, text: reason === '' ? `${kind} at step ${step}` : reason }];
      }
      case 'run.judged': {
        const { step, text } = event.data;
        return [{ time, step, kind: 'health', text }];
      }
      case 'run.noticed':
        return [{ time, step: event.data.step, kind: 'notice', text: event.data.text }];
      case 'run.scaled': {
        const text = `${event.data.workers} workers are wanted`;
        return [{ time, step: stepAt(time), kind: 'scaled', text }];
      }
      case 'world.formed':
        return [worldOf(event)];
      case 'world.lost': {
        const { worker, reason } = event.data;
        const text = `${worker} was lost: ${reason}`;
        return [{ time, step: stepAt(time), kind: 'lost', worker, text }];
      }
      case 'world.rolledBack': {
        const { step, from } = event.data;
        const text = `back from step ${from} to ${step}`;
        return [{ time, step, kind: 'rolledBack', text }];
      }
      case 'checkpoint.committed': {
        const { step } = event.data;
        return [{ time, step, kind: 'checkpoint', text: `checkpoint at step ${step}` }];
      }
      case 'sample.written':
        return [sampleOf(event)];
      case 'world.observed':
      case 'step.committed':
        return [];
    }
  });
}

/** The step that was known at a time, for events that name none. */
function stepsByTime(events: EventLists): (time: string) => number {
  const known = events
    .all()
    .flatMap(({ time, data }) => ('step' in data ? [{ time, step: data.step }] : []));
  let next = 0;
  let step = 0;
  return (time) => {
    for (; next < known.length && (known[next]?.time ?? '') <= time; next++)
      step = known[next]?.step ?? step;
    return step;
  };
}

function startOf(
  { time, data: { term, step } }: EventOf<'run.started'>,
  firstTerm: number | undefined,
): Happening {
  const at = step === 0 ? 'from the beginning' : `from step ${step}`;
  return term === firstTerm
    ? { time, step, kind: 'started', text: `started ${at}` }
    : { time, step, kind: 'term', text: `coordinator of term ${term} leads, ${at}` };
}

function worldOf({ time, data: { step, members, reason } }: EventOf<'world.formed'>): Happening {
  const size = members.length === 1 ? '1 worker' : `${members.length} workers`;
  return { time, step, kind: 'world', text: `${size} from step ${step}: ${reason}` };
}

function sampleOf({ time, data }: EventOf<'sample.written'>): Happening {
  const { step, psnr, bicubic_psnr: bicubic } = data;
  const figure = psnr === null ? 'no PSNR' : `PSNR ${psnr.toFixed(2)} dB`;
  const beside = bicubic === null ? '' : `, bicubic ${bicubic.toFixed(2)} dB`;
  return { time, step, kind: 'sample', text: `faces at step ${step}: ${figure}${beside}` };
}

/** The time line, with the skipped steps in it; what is too much goes from the oldest. */
export function timeLineOf(
  worldLine: WorldLine,
  rows: StepRows,
  counted: Uint32Array,
  limit: number,
): TimeLine {
  const skipped: Happening[] = [];
  for (const row of counted) if (rows.skipped[row] === 1) skipped.push(skippedAt(rows, row));
  let happenings = [...worldLine.happenings, ...skipped];
  while (happenings.length > limit) happenings = thinnedByKind(happenings);
  return { worlds: worldLine.worlds, happenings: happenings.sort(byMoment) };
}

/** That a step was skipped. */
export function skippedAt(rows: StepRows, row: number): Happening {
  const step = rows.step[row];
  const time = new Date(rows.time[row]).toISOString();
  return {
    time,
    step,
    kind: 'skipped',
    text: `step ${step} was skipped: its gradients were not finite`,
  };
}

/** Of the kind that there is most of, every other one of the older half goes. */
function thinnedByKind(happenings: readonly Happening[]): Happening[] {
  const counts = new Map<string, number>();
  for (const { kind } of happenings) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const [most, count] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a));
  let place = 0;
  return happenings.filter(({ kind }) => {
    if (kind !== most) return true;
    return ++place > count / 2 || place % 2 === 0;
  });
}
