// Steps as OpenTelemetry traces, over OTLP and HTTP. Loaded only where an endpoint is set; what
// else OTEL_... says, the packages read by themselves, as OpenTelemetry documents it. All workers'
// spans of a step have one trace id, which follows from run, world and step.

import { ROOT_CONTEXT, trace, type Context, type Span, type Tracer } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  RandomIdGenerator,
  type SpanExporter,
} from '@opentelemetry/sdk-trace-base';
import { atMost } from '../../shared/clock.js';
import type { StepSpan } from '../../shared/control/tracing.js';
import { sha256Of } from '../../shared/sha256.js';
import type { RecordedPlace, RecordedStep, StepExporter } from './step-recorder.js';

/** Steps a second at most; of a faster run every 2nd, 4th, ... is exported. */
const mostStepsPerS = 10;

/** How much a new step's time counts in the average. */
const share = 0.1;

/** Longest time that the endpoint may take; at the end, when others wait for this process, less. */
const exportMs = 3_000;
const closeMs = 1_000;

export interface OtlpOptions {
  readonly worker: string;
  /** Takes, once, that the endpoint does not answer. */
  readonly onNotice: (text: string) => void;
}

/** The exporter of a worker. */
export function createOtlpExporter({ worker, onNotice }: OtlpOptions): StepExporter {
  let isAway = false;
  let hasSaid = false;
  const onOutcome = (reason: string | undefined): void => {
    isAway = reason !== undefined;
    if (!isAway || hasSaid) return;
    hasSaid = true;
    onNotice(`spans are not exported, the run goes on without: ${reason}`);
  };
  const exporter = observed(new OTLPTraceExporter({ timeoutMillis: exportMs }), onOutcome);
  const random = new RandomIdGenerator();
  let traceId = '';
  const provider = new BasicTracerProvider({
    idGenerator: {
      generateTraceId: () => traceId,
      generateSpanId: () => random.generateSpanId(),
    },
    resource: resourceFromAttributes({ 'service.name': 'lockstep-worker' })
      .merge(resourceFromAttributes({ 'service.instance.id': worker }))
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  const tracer = provider.getTracer('lockstep');
  const thinning = createThinning();
  return {
    wants: ({ step }) => thinning.takes(step + 1, performance.now()),
    export: (recorded) => {
      traceId = traceIdOf(recorded);
      exportStep(tracer, worker, recorded);
    },
    close: async () => {
      let isClosed = false;
      const closed = provider.shutdown().then(
        () => (isClosed = true),
        () => undefined,
      );
      // What an endpoint that is away would not take is not waited for.
      if (isAway) return;
      await atMost(closeMs, closed);
      if (!isClosed) onOutcome(`the endpoint did not answer within ${closeMs / 1000} s`);
    },
  };
}

/** The trace of a step of a world: 16 bytes as hexadecimal digits. */
export function traceIdOf({ run, generation, step }: RecordedPlace): string {
  return sha256Of(`${run} ${generation} ${step + 1}`).slice(0, 32);
}

/**
 * Which steps are exported: all, or those whose number divides by a power of two. It depends on how
 * fast steps follow each other, which workers in lockstep have alike, so that they take the same.
 */
export function createThinning() {
  let averageMs = 0;
  let last: { readonly step: number; readonly atMs: number } | undefined;
  return {
    /** Asked of every step when it begins. */
    takes: (step: number, atMs: number): boolean => {
      if (last?.step === step - 1) {
        const stepMs = atMs - last.atMs;
        averageMs = averageMs === 0 ? stepMs : averageMs + share * (stepMs - averageMs);
      }
      last = { step, atMs };
      const surplus = averageMs === 0 ? 1 : 1000 / averageMs / mostStepsPerS;
      return step % 2 ** Math.max(0, Math.ceil(Math.log2(surplus))) === 0;
    },
  };
}

function exportStep(tracer: Tracer, worker: string, recorded: RecordedStep): void {
  const { run, rank, generation, phase, step, spans } = recorded;
  const shared = { run, worker, rank, generation, phase, step: step + 1 };
  const begin = ({ name, startUs, microShard, thread }: StepSpan, context: Context): Span => {
    const own = microShard === undefined ? { thread } : { thread, micro_shard: microShard };
    const attributes = { ...shared, ...own };
    return tracer.startSpan(name, { startTime: timeOf(startUs), attributes }, context);
  };
  const end = (span: Span, { startUs, durationUs = 0 }: StepSpan): void =>
    span.end(timeOf(startUs + durationUs));
  const whole = spans.find(({ name }) => name === 'step');
  if (whole === undefined) return;
  const root = begin(whole, ROOT_CONTEXT);
  const inside = trace.setSpan(ROOT_CONTEXT, root);
  for (const span of spans) if (span !== whole) end(begin(span, inside), span);
  end(root, whole);
}

/** Seconds and nanoseconds. */
function timeOf(us: number): [number, number] {
  const seconds = Math.floor(us / 1e6);
  return [seconds, Math.round(1000 * (us - 1e6 * seconds))];
}

/** The same exporter; `onOutcome` gets why an export failed, or undefined. */
function observed(
  exporter: SpanExporter,
  onOutcome: (reason: string | undefined) => void,
): SpanExporter {
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        const failed = result.error?.message ?? 'the endpoint refused them';
        // Code 0: success.
        onOutcome((result.code as number) === 0 ? undefined : failed);
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
  };
}
