// The picture of a run: all that a person is shown of it at one moment, as plain JSON. It follows
// from the run's events alone, so that it is the same from the run's folder, from the coordinator
// and from the event bus. Names are those of the events. Times are ISO 8601.

import type { EventData } from '../../shared/events/kinds.js';

/** Where a second of a run's time went that did not bring it forward. */
export const lossCauses = [
  /** Steps that were taken again after the run had gone back. */
  'redone',
  /** Steps whose gradients were not finite. */
  'skipped',
  /** From a worker's loss until steps were taken again. */
  'lost',
  /** A new world for newcomers, leavers, or another number of workers. */
  'membership',
  /** From a coordinator's start until the first step: loading, compiling, taking the state. */
  'starting',
  /** Between two steps, whatever else it was. */
  'other',
] as const;

/** One of `lossCauses`. */
export type LossCause = (typeof lossCauses)[number];

/** How much of the time in which the run was led went into steps that count. */
export interface Goodput {
  /** useful_s / wall_s; 0 before the first step. */
  readonly share: number;
  /** Seconds in which the run was led; what lies between a stop and a resume is not in it. */
  readonly wall_s: number;
  readonly useful_s: number;
  readonly lost_s: Readonly<Record<LossCause, number>>;
}

/** Something that happened, at a time and at a step, for the time line and the list of news. */
export interface Happening {
  readonly time: string;
  readonly step: number;
  readonly kind:
    | 'started'
    | 'term'
    | 'world'
    | 'joined'
    | 'lost'
    | 'drained'
    | 'rolledBack'
    | 'skipped'
    | 'checkpoint'
    | 'sample'
    | 'scaled'
    | 'notice'
    | 'health'
    | 'finished'
    | 'stopped'
    | 'failed';
  /** One line for people: "w-2 was lost: sent nothing for 2 s". */
  readonly text: string;
  /** The worker that it is about. */
  readonly worker?: string;
}

/** A stretch of a run's time with the same members: bars of the world's time line. */
export interface WorldSpan {
  readonly generation: number;
  readonly fromTime: string;
  readonly fromStep: number;
  /** Undefined: it is the world of now. */
  readonly toTime?: string;
  readonly toStep?: number;
  /** By rank. */
  readonly workers: readonly string[];
  readonly reason: string;
}

/** An evaluation, and when it was told. */
export type Evaluated = EventData<'sample.written'> & { readonly time: string };

/** A run at one moment. */
export interface RunPicture {
  readonly run: string;
  readonly url: string;
  /** "starting": led, no step yet. "away" is for viewers to say, by `time`. */
  readonly state: 'unknown' | 'starting' | 'running' | 'finished' | 'stopped' | 'failed';
  /** Why it ended; empty while it goes on. */
  readonly reason: string;
  readonly exit_code?: number;
  /** Of the first and of the newest event; empty before the first. */
  readonly started: string;
  readonly time: string;
  /** When it last came forward: its newest step, or its first start since it was last stopped. */
  readonly progressed: string;
  /** Steps committed. */
  readonly step: number;
  readonly last_step: number;
  readonly until: number;
  readonly phase: string;
  readonly phases: readonly { readonly name: string; readonly steps: number }[];
  readonly images_per_step: number;
  readonly term: number;
  readonly generation: number;
  readonly target: number;
  readonly images_per_s: number;
  readonly eta_s: number;
  /** Of the newest step: losses, scores, gradient norms. */
  readonly metrics: Readonly<Record<string, number | null>>;
  readonly evaluation?: Evaluated;
  /** The evaluation with the highest PSNR. */
  readonly best?: { readonly step: number; readonly psnr: number };
  readonly checkpoint?: { readonly step: number; readonly sha256: string; readonly time: string };
  readonly workers: EventData<'world.observed'>['workers'];
  readonly straggler: EventData<'world.observed'>['straggler'];
  /** Bytes that all workers together sent for the newest step. */
  readonly bytes_per_step: number;
  readonly fingerprint: string;
  /** What ails the networks; empty while nothing does. */
  readonly health: string;
  readonly goodput: Goodput;
  readonly counts: {
    readonly worlds: number;
    readonly joined: number;
    readonly lost: number;
    readonly drained: number;
    readonly skipped: number;
    readonly redone: number;
    readonly checkpoints: number;
    readonly terms: number;
  };
  /** Steps with a sample picture, in ascending order; at most 2,000, thinned out evenly. */
  readonly sample_steps: readonly number[];
  /** The newest last; at most 20. */
  readonly news: readonly Happening[];
}

/** Numbers over a stretch of a run, as columns of equal length; thinned out for drawing. */
export interface SeriesData {
  readonly step: readonly number[];
  /** Milliseconds since 1970. */
  readonly time: readonly number[];
  /** By name: "loss/generator", "images_per_s", ...; null where a step has no such number. */
  readonly columns: Readonly<Record<string, readonly (number | null)[]>>;
  /** Evaluations, whole: they are few. */
  readonly evaluations: readonly Evaluated[];
}

/** The run's world over its time. */
export interface TimeLine {
  readonly worlds: readonly WorldSpan[];
  /** At most 5,000; beyond, the oldest of each kind are thinned out. */
  readonly happenings: readonly Happening[];
}

/** What has computed a run, and which versions of Lockstep have led it: each once, in order. */
export interface ComputedBy {
  readonly fingerprints: readonly string[];
  readonly versions: readonly string[];
}

/** A run's history, fed with its events. The same event twice, or an old one late, does no harm. */
export interface RunHistory {
  /** Takes an event (see `parseCloudEvent`); false when it is known already or says nothing. */
  add(event: unknown): boolean;
  picture(): RunPicture;
  /**
   * At most about `points` points of steps in [from, to] that count (what was rolled back is left
   * out). Each stretch of steps gives those with its least and greatest values, so that a spike is
   * not lost.
   */
  series(request: {
    readonly points: number;
    readonly from?: number;
    readonly to?: number;
  }): SeriesData;
  timeLine(): TimeLine;
  computedBy(): ComputedBy;
}
