// What a coordinator shows to Prometheus: the run's picture as gauges, and counts of what has
// happened since this process leads. A coordinator that stands by shows that it does.

import type { BusHealth } from '../../shared/events/bus.js';
import type { TypedEvent } from '../../shared/events/kinds.js';
import type { StoreHealth } from '../../shared/store/notices.js';
import type { RunPicture } from '../history/picture.js';
import { processMetrics } from './process.js';
import type { MetricDefinition, MetricsSource, MetricSample } from './registry.js';

/** What a coordinator knows when it is asked. */
export interface CoordinatorFigures {
  readonly version: string;
  /** The run's id. */
  readonly run: string;
  /** Undefined while another coordinator leads. */
  leading(): LeadingFigures | undefined;
  /** Why it does not lead; said on /readyz. */
  waitsFor(): string;
}

/** What a coordinator that leads knows. */
export interface LeadingFigures {
  /** Undefined until it is known what happened before this coordinator led. */
  picture(): RunPicture | undefined;
  readonly counts: EventCounts;
  bus(): BusHealth;
  store(): StoreHealth;
}

/** How often things have happened since this process leads: none of it goes down. */
export interface EventCounts {
  /** Hears an event of the run. */
  add(event: TypedEvent): void;
  readonly steps: number;
  readonly images: number;
  readonly skipped: number;
  readonly worlds: number;
  readonly checkpoints: number;
  readonly lost: Readonly<Record<LostKind, number>>;
  /** Members of the newest world. */
  readonly worldSize: number | undefined;
}

/** Why a worker was lost: it could not be heard any more, or it went by its own fault. */
type LostKind = 'unreachable' | 'failed';

/** Counts from zero. */
export function createEventCounts(): EventCounts {
  const lost = { unreachable: 0, failed: 0 };
  const counts = {
    ...{ steps: 0, images: 0, skipped: 0, worlds: 0, checkpoints: 0 },
    lost,
    worldSize: undefined as number | undefined,
  };
  let imagesPerStep = 0;
  return Object.assign(counts, {
    add: ({ type, data }: TypedEvent): void => {
      switch (type) {
        case 'run.started':
          imagesPerStep = data.images_per_step;
          return;
        case 'step.committed':
          counts.steps += 1;
          counts.images += imagesPerStep;
          counts.skipped += data.skipped === true ? 1 : 0;
          return;
        case 'world.formed':
          counts.worlds += 1;
          counts.worldSize = data.members.length;
          return;
        case 'world.lost':
          lost[data.silent_ms > 0 ? 'unreachable' : 'failed'] += 1;
          return;
        case 'checkpoint.committed':
          counts.checkpoints += 1;
          return;
        default:
      }
    },
  });
}

/** The metrics and the health of a coordinator. */
export function coordinatorMetrics(figures: CoordinatorFigures): MetricsSource {
  const { leading } = figures;
  return {
    labels: () => ({ run: figures.run }),
    ready: () => {
      const led = leading();
      if (led === undefined) return { isReady: false, reason: figures.waitsFor() };
      const picture = led.picture();
      if (picture === undefined)
        return { isReady: true, reason: 'leads the run, and reads what happened before' };
      const { term, step, until } = picture;
      return { isReady: true, reason: `leads the run in term ${term}, step ${step} of ${until}` };
    },
    definitions: [
      {
        ...{ kind: 'gauge', name: 'lockstep_leading' },
        help: 'Whether this coordinator leads the run; 0 while it stands by.',
        read: () => (leading() === undefined ? 0 : 1),
      },
      {
        ...{ kind: 'gauge', name: 'lockstep_build_info', labels: ['version', 'fingerprint'] },
        help: 'Always 1: the version of Lockstep and what the workers compute with.',
        read: () => {
          const fingerprint = leading()?.picture()?.fingerprint ?? '';
          return [[{ version: figures.version, fingerprint }, 1]];
        },
      },
      ...pictureGauges(() => leading()?.picture()),
      ...counters(() => leading()),
      ...processMetrics(),
    ],
  };
}

/** Zero says that something is not known. */
const known = (value: number | undefined): number | undefined => (value === 0 ? undefined : value);

const secondsOf = (time: string | undefined): number | undefined =>
  time === undefined || time === '' ? undefined : Date.parse(time) / 1000;

/** One of the run's picture: name, sentence, and what it reads. */
type PictureGauge = readonly [
  name: string,
  help: string,
  read: (picture: RunPicture) => number | null | undefined,
];

const plainGauges: readonly PictureGauge[] = [
  ['lockstep_step', 'Steps committed in the state; goes back at a rollback.', ({ step }) => step],
  ['lockstep_step_target', 'The step that the run halts after.', ({ until }) => until],
  ['lockstep_images_per_second', 'Images trained on a second.', (of) => of.images_per_s],
  ['lockstep_eta_seconds', 'Seconds until the target, if known.', ({ eta_s }) => known(eta_s)],
  ['lockstep_term', 'Number of the coordinator that leads.', ({ term }) => term],
  ['lockstep_generation', 'Number of the world.', ({ generation }) => generation],
  ['lockstep_workers_target', 'Workers that the run is to have.', ({ target }) => target],
  [
    'lockstep_last_step_timestamp_seconds',
    'When the newest step was committed, in seconds since 1970; before it, the start of the run.',
    ({ progressed }) => secondsOf(progressed),
  ],
  [
    'lockstep_redone_steps',
    'Steps of the whole run that were taken for nothing: it went back behind them.',
    ({ counts }) => counts.redone,
  ],
  [
    'lockstep_checkpoint_step',
    'Step of the newest checkpoint; 0 before the first.',
    ({ checkpoint }) => checkpoint?.step ?? 0,
  ],
  [
    'lockstep_checkpoint_timestamp_seconds',
    'When the newest checkpoint was committed, in seconds since 1970.',
    ({ checkpoint }) => secondsOf(checkpoint?.time),
  ],
  [
    'lockstep_evaluation_step',
    'Step of the newest evaluation on faces that training never sees.',
    ({ evaluation }) => evaluation?.step,
  ],
  ['lockstep_best_psnr_decibels', 'The highest PSNR of an evaluation.', ({ best }) => best?.psnr],
  [
    'lockstep_goodput_ratio',
    'Share of the time that the run was led which went into steps that count.',
    ({ goodput }) => goodput.share,
  ],
  [
    'lockstep_networks_healthy',
    'Whether nothing ails the networks: 0 for a collapse or a divergence.',
    ({ health }) => (health === '' ? 1 : 0),
  ],
  [
    'lockstep_step_sent_bytes',
    'Bytes that all workers together sent for the newest step.',
    ({ bytes_per_step }) => bytes_per_step,
  ],
];

function pictureGauges(picture: () => RunPicture | undefined): MetricDefinition[] {
  const samples = (read: (of: RunPicture) => readonly MetricSample[]): readonly MetricSample[] => {
    const now = picture();
    return now === undefined ? [] : read(now);
  };
  return [
    ...plainGauges.map(([name, help, read]): MetricDefinition => {
      const value = (): number | undefined => {
        const now = picture();
        return now === undefined ? undefined : (read(now) ?? undefined);
      };
      return { kind: 'gauge', name, help, read: value };
    }),
    {
      ...{ kind: 'gauge', name: 'lockstep_training_value', labels: ['name'] },
      help: 'Losses, scores and gradient norms of the newest step.',
      read: () =>
        samples(({ metrics }) =>
          Object.entries(metrics).map(([name, value]) => [{ name }, value ?? Number.NaN]),
        ),
    },
    {
      ...{ kind: 'gauge', name: 'lockstep_psnr_decibels', labels: ['of'] },
      help: 'PSNR of the newest evaluation, of the generator and of bicubic enlarging.',
      read: () => samples(({ evaluation: of }) => judged(of?.psnr, of?.bicubic_psnr)),
    },
    {
      ...{ kind: 'gauge', name: 'lockstep_ssim_ratio', labels: ['of'] },
      help: 'SSIM of the newest evaluation, of the generator and of bicubic enlarging.',
      read: () => samples(({ evaluation: of }) => judged(of?.ssim, of?.bicubic_ssim)),
    },
    {
      ...{ kind: 'gauge', name: 'lockstep_straggler_excess_seconds', labels: ['worker', 'phase'] },
      help: 'Seconds a step that the slowest worker takes beyond the others; none without one.',
      read: () =>
        samples(({ straggler: of }) =>
          of === null ? [] : [[{ worker: of.worker, phase: of.phase }, of.excess_s]],
        ),
    },
    {
      ...{ kind: 'gauge', name: 'lockstep_slow_link_bytes_per_second', labels: ['from', 'to'] },
      help: 'What the links bring that the exchange waits for; none where none is slow.',
      read: () =>
        samples(({ workers }) =>
          workers.flatMap(({ worker: to, slow_link: link }): MetricSample[] =>
            link ? [[{ from: link.peer, to }, link.bytes_per_s]] : [],
          ),
        ),
    },
    {
      ...{ kind: 'gauge', name: 'lockstep_lost_seconds', labels: ['cause'] },
      help: 'Seconds of the whole run that did not bring it forward, by cause.',
      read: () =>
        samples(({ goodput }) =>
          Object.entries(goodput.lost_s).map(([cause, value]) => [{ cause }, value]),
        ),
    },
  ];
}

function judged(generator?: number | null, bicubic?: number | null): readonly MetricSample[] {
  const values = { generator, bicubic };
  return Object.entries(values).flatMap(([of, value]): MetricSample[] =>
    value === undefined || value === null ? [] : [[{ of }, value]],
  );
}

/** Name, sentence, and what it reads. */
type LedMetric = readonly [
  name: string,
  help: string,
  read: (led: LeadingFigures) => number | undefined,
];

const plainCounters: readonly LedMetric[] = [
  ['lockstep_steps_total', 'Steps committed, those done again included.', (of) => of.counts.steps],
  ['lockstep_images_total', 'Images trained on.', ({ counts }) => counts.images],
  ['lockstep_skipped_steps_total', 'Steps with gradients not finite.', (of) => of.counts.skipped],
  ['lockstep_worlds_total', 'Worlds formed.', ({ counts }) => counts.worlds],
  ['lockstep_checkpoints_total', 'Checkpoints committed.', ({ counts }) => counts.checkpoints],
  ['lockstep_dropped_events_total', 'Events that the bus never took.', (of) => of.bus().dropped],
  [
    'lockstep_store_failures_total',
    'Requests to the object store that failed and were sent again.',
    (of) => of.store().failed,
  ],
];

const ledGauges: readonly LedMetric[] = [
  ['lockstep_world_size', 'Workers of the newest world.', ({ counts }) => counts.worldSize],
  ['lockstep_event_queue_length', 'Events that wait for the bus.', (of) => of.bus().waiting],
  [
    'lockstep_store_away',
    'Whether the object store is away: a request to it waits for another try.',
    (of) => (of.store().isAway ? 1 : 0),
  ],
];

function counters(leading: () => LeadingFigures | undefined): MetricDefinition[] {
  const define =
    (kind: MetricDefinition['kind']) =>
    ([name, help, read]: LedMetric): MetricDefinition => {
      const value = (): number | undefined => {
        const led = leading();
        return led === undefined ? undefined : read(led);
      };
      return { kind, name, help, read: value };
    };
  return [
    ...plainCounters.map(define('counter')),
    ...ledGauges.map(define('gauge')),
    {
      ...{ kind: 'counter', name: 'lockstep_lost_workers_total', labels: ['reason'] },
      help: 'Workers that were lost: unreachable, or failed by their own fault.',
      read: () => {
        const { lost } = leading()?.counts ?? {};
        return Object.entries(lost ?? {}).map(([reason, value]): MetricSample => [
          { reason },
          value,
        ]);
      },
    },
  ];
}
