// What the coordinator tells the world outside: lines for the operator, events for the bus, and
// segments of metrics in the run's folder. It watches; it decides nothing.

import type { EvaluationReport, StepReport, WorkerMessage } from '../../shared/control/messages.js';
import type { EventBus, RunEvent } from '../../shared/events/bus.js';
import { lastStep, type RunSpec } from '../../shared/spec/schema.js';
import type { ObjectStore } from '../../shared/store/store.js';
import type { World } from '../../shared/words.js';
import type { Ending } from '../core/state.js';
import { createPace } from './pace.js';

/** One line of `--json` output: `kind` and what belongs to it. */
export type ReportLine = Readonly<Record<string, unknown>> & { readonly kind: string };

/** Metric lines kept until the next checkpoint; beyond, the oldest are dropped. */
const maxMetricLines = 200_000;

export interface ReporterOptions {
  readonly run: string;
  readonly url: string;
  readonly spec: RunSpec;
  readonly startStep: number;
  readonly until: number;
  readonly store: ObjectStore;
  readonly bus: EventBus;
  readonly now: () => number;
  readonly onLine: (line: ReportLine) => void;
}

export interface Reporter {
  started(): void;
  formed(world: World): void;
  /** A worker's message: steps and evaluations are told, the others are not. */
  message(message: WorkerMessage): void;
  /** A checkpoint's manifest was written; also stores the metrics up to it. */
  committed(step: number, sha256: string): Promise<void>;
  notice(text: string): void;
  /** The last line. */
  ended(ending: Ending, worldSize: number): Promise<void>;
}

/** Creates the reporter of one coordinator. */
export function createReporter(options: ReporterOptions): Reporter {
  const { run, url, spec, startStep, until, store, bus, onLine } = options;
  const last = lastStep(spec);
  const imagesPerStep = spec.batch.microShards * spec.batch.size;
  const pace = createPace(imagesPerStep, options.now);
  const segment: string[] = [];
  let committedStep = startStep;
  let sha256 = '';

  const publish = (kind: RunEvent['kind'], name: string, id: string, data: object): void =>
    bus.publish({ kind, name, id, data: data as RunEvent['data'] });
  const keep = (line: ReportLine): void => {
    segment.push(JSON.stringify(line));
    if (segment.length > maxMetricLines) segment.shift();
  };
  const tell = (line: ReportLine): void => onLine(line);

  const stepped = (report: StepReport): void => {
    pace.stepped(report.step, report.phase);
    const metrics = Object.fromEntries(report.metrics.map(({ name, value }) => [name, value]));
    const { step, phase, dataS, computeS, exchangeS, updateS } = report;
    const seconds = { data: dataS, compute: computeS, exchange: exchangeS, update: updateS };
    const line = { kind: 'step', step, last_step: last, until, phase, metrics, seconds };
    keep(line);
    publish('step', 'committed', `step-${pad(step)}-committed`, { step, phase, metrics, seconds });
    tell({ ...line, images_per_s: pace.imagesPerSecond(), eta_s: pace.etaSeconds(until) });
  };
  const evaluated = (report: EvaluationReport): void => {
    const { step, psnr, ssim, bicubicPsnr, bicubicSsim, faces, sampleKey } = report;
    const quality = { psnr, ssim, bicubic_psnr: bicubicPsnr, bicubic_ssim: bicubicSsim, faces };
    const line = { kind: 'evaluation', step, ...quality, sample_key: sampleKey };
    keep(line);
    const reference = { step, ...quality, url: `${url}/${sampleKey}` };
    publish('sample', 'written', `sample-${pad(step)}-written`, reference);
    tell(line);
  };
  const flushSegment = async (step: number): Promise<void> => {
    if (segment.length === 0) return;
    const body = Buffer.from(`${segment.splice(0).join('\n')}\n`);
    await store.put(`metrics/step-${pad(step)}.jsonl`, body);
  };

  return {
    started: () => {
      const data = { run, url, step: startStep, last_step: last, until };
      tell({ kind: 'run', ...data });
      publish('run', 'started', `run-started-${pad(startStep)}-${options.now()}`, data);
    },
    formed: (world) => {
      const { generation, members } = world;
      tell({ kind: 'world', generation, members });
      publish('world', 'formed', `world-${generation}-${options.now()}`, { generation, members });
    },
    message: (message) => {
      if (message.kind === 'stepReport') stepped(message);
      if (message.kind === 'evaluation') evaluated(message);
    },
    committed: async (step, sum) => {
      [committedStep, sha256] = [step, sum];
      const data = { step, sha256, url: `${url}/checkpoints/step-${pad(step)}` };
      tell({ kind: 'checkpoint', ...data });
      publish('checkpoint', 'committed', `checkpoint-${pad(step)}-committed`, data);
      await flushSegment(step);
    },
    notice: (text) => tell({ kind: 'notice', text }),
    ended: async (ending, worldSize) => {
      await flushSegment(committedStep + 1).catch(() => undefined);
      const kind =
        ending.exitCode === 0 ? 'finished' : ending.exitCode === 3 ? 'stopped' : 'failed';
      const result = {
        run,
        url,
        step: committedStep,
        sha256,
        world: worldSize,
        images_per_s: pace.imagesPerSecond(),
        reason: ending.reason,
        exit_code: ending.exitCode,
      };
      publish('run', kind, `run-${kind}-${pad(committedStep)}-${options.now()}`, result);
      tell({ kind, ...result });
    },
  };
}

function pad(step: number): string {
  return String(step).padStart(8, '0');
}
