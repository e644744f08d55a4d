// What the compute thread does in a step, as spans: recorded while a trace asks for it or an
// exporter takes it. Otherwise `begin` gives undefined, and a step has nothing to do with it.

import { clockUs } from '../../shared/clock.js';
import type { StepSpan } from '../../shared/control/tracing.js';
import type { Generation, Leaf, Rank, Step } from '../../shared/words.js';
import type { ToCompute, ToNetwork } from '../network/ports.js';

/** Most spans of a step; a step has a few for each micro-shard. */
const maxSpansOfStep = 50_000;

/** Where and when a step is taken. */
export interface RecordedPlace {
  readonly run: string;
  readonly generation: Generation;
  readonly rank: Rank;
  /** Steps committed before it. */
  readonly step: Step;
  readonly phase: string;
}

/** A step that is over, with the span "step" around the others. */
export interface RecordedStep extends RecordedPlace {
  readonly spans: readonly StepSpan[];
}

/** Takes steps beside a trace: OpenTelemetry. */
export interface StepExporter {
  /** Asked of every step, when it begins. */
  wants(place: RecordedPlace): boolean;
  export(step: RecordedStep): void;
  /** Sends what is left, for a moment. */
  close(): Promise<void>;
}

/** The spans of one step. A device has a lane of its own; the first one is the thread's. */
export interface StepSpans {
  /** The lane turns to an activity: what it did before is over. */
  turn(activity: string, microShard?: Leaf, device?: number): void;
  /** The lane does nothing. */
  rest(device: number): void;
  /** The step is over, or given up. */
  end(): void;
}

export interface StepRecorder {
  /** Whether anybody looks; nearly always nobody does. */
  readonly isOn: boolean;
  /** The spans of a step that is to be recorded; the one before is over. */
  begin(place: RecordedPlace): StepSpans | undefined;
  /** An order of the network thread: from now on, or no more. */
  onOrder(order: ToCompute & { readonly kind: 'record' }): void;
  /** Nothing more comes of the step under way. */
  halt(): void;
}

/** The recorder of a compute thread; what a trace asked for goes to the network thread. */
export function createStepRecorder(
  send: (message: ToNetwork) => void,
  exporter?: StepExporter,
): StepRecorder {
  let order: (ToCompute & { readonly kind: 'record' }) | undefined;
  let underWay: StepSpans | undefined;

  const finish = (id: number): void => {
    order = undefined;
    send({ kind: 'recorded', id, spans: [], isLast: true });
  };
  const deliver = (recorded: RecordedStep, isTraced: boolean, isExported: boolean): void => {
    underWay = undefined;
    if (isExported) exporter?.export(recorded);
    if (order === undefined || !isTraced) return;
    const isLast = recorded.step + 2 >= order.endStep;
    send({ kind: 'recorded', id: order.id, spans: recorded.spans, isLast });
    if (isLast) order = undefined;
  };
  return {
    get isOn() {
      return order !== undefined || exporter !== undefined;
    },
    begin: (place) => {
      underWay?.end();
      const number = place.step + 1;
      // It came too late, or the run has gone on from a later step.
      if (order !== undefined && number >= order.endStep) finish(order.id);
      const isTraced = order !== undefined && number >= order.firstStep && number < order.endStep;
      const isExported = exporter?.wants(place) === true;
      if (!isTraced && !isExported) return undefined;
      underWay = recordStep(place, (recorded) => deliver(recorded, isTraced, isExported));
      return underWay;
    },
    onOrder: (given) => {
      if (given.endStep > given.firstStep) order = given;
      else {
        underWay?.end();
        finish(given.id);
      }
    },
    halt: () => underWay?.end(),
  };
}

interface OpenSpan {
  readonly name: string;
  readonly microShard: Leaf | undefined;
  readonly startUs: number;
}

function recordStep(place: RecordedPlace, onEnd: (recorded: RecordedStep) => void): StepSpans {
  const { generation, step } = place;
  const startUs = clockUs();
  const spans: StepSpan[] = [];
  const lanes: (OpenSpan | undefined)[] = [];
  let isOver = false;
  const add = (thread: string, { name, startUs, microShard }: OpenSpan): void => {
    if (spans.length >= maxSpansOfStep) return;
    const durationUs = clockUs() - startUs;
    // The number that the step has once it is committed.
    spans.push({ thread, name, startUs, durationUs, generation, step: step + 1, microShard });
  };
  const rest = (device: number): void => {
    const open = lanes[device];
    if (open !== undefined) add(device === 0 ? 'compute' : `device ${device}`, open);
    lanes[device] = undefined;
  };
  const restAll = (): void => lanes.forEach((_, device) => rest(device));
  return {
    turn: (name, microShard, device) => {
      if (isOver) return;
      if (device === undefined) restAll();
      else rest(device);
      lanes[device ?? 0] = { name, microShard, startUs: clockUs() };
    },
    rest,
    end: () => {
      if (isOver) return;
      restAll();
      isOver = true;
      add('compute', { name: 'step', startUs, microShard: undefined });
      onEnd({ ...place, spans });
    },
  };
}
