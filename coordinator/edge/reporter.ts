// What the coordinator reports to the world outside: lines for the operator, and events for all
// that keep or show the run.

import type { EvaluationReport, StepReport } from '../../shared/control/messages.js';
import type { EventData } from '../../shared/events/kinds.js';
import { packageOrigin } from '../../shared/paths.js';
import { exitCodes, isStop, type ExitCode } from '../../shared/exit-codes.js';
import { lastStep, type RunSpec } from '../../shared/spec/schema.js';
import type { Generation, Step } from '../../shared/words.js';
import { createHealth, forgetSteps, judgeHealth, noteMetrics, notePsnr } from '../core/health.js';
import type { CoordinatorEffect, Ending } from '../core/state.js';
import { findStraggler, type PaceView } from '../core/straggler.js';
import { createNoticeEvents, eventText, type RunEvents } from './run-events.js';
import { createRunRate, stragglerEvent, type RunRate } from './run-status.js';

/** One line of `--json` output: `kind` and what belongs to it. */
export type ReportLine = Readonly<Record<string, unknown>> & { readonly kind: string };

export interface ReporterOptions {
  readonly run: string;
  readonly url: string;
  readonly term: number;
  readonly spec: RunSpec;
  readonly startStep: number;
  readonly until: number;
  /** Sum of the parameters in the checkpoint that the run starts from; empty without one. */
  readonly startSha256: string;
  /** Pictures that train, and that are held out. */
  readonly trainSamples: number;
  readonly testSamples: number;
  /** How often the run's lease has changed hands; undefined where that is not counted. */
  readonly leaseTransitions?: number | undefined;
  readonly events: RunEvents;
  readonly now: () => number;
  readonly onLine: (line: ReportLine) => void;
}

export interface Reporter {
  /** The first line. */
  started(): void;
  formed(effect: CoordinatorEffect & { readonly kind: 'formed' }): void;
  /** A worker was taken out of the world. */
  lost(effect: CoordinatorEffect & { readonly kind: 'lost' }): void;
  /** The run is to have so many worker processes. */
  target(workers: number): void;
  /** Another coordinator leads the run. */
  superseded(reason: string): void;
  /** A worker's report of a step or an evaluation. */
  message(
    message: StepReport | EvaluationReport,
    paces: () => PaceView[],
    generation: Generation,
  ): void;
  /** How the workers are; told where a step was taken since, or the world is another. */
  observed(world: EventData<'world.observed'>): void;
  /** Why the newest world was formed; empty before this coordinator has formed one. */
  worldReason(): string;
  /** What ails the networks, in one line; empty while nothing does. */
  health(): string;
  /** How fast the run goes, and when it will be there. */
  rate(): { readonly imagesPerS: number; readonly etaS: number };
  /** A checkpoint's manifest was written. */
  committed(step: number, sha256: string): void;
  notice(text: string): void;
  /** The last line. */
  ended(ending: Ending, worldSize: number, done: () => void): void;
}

/** What a run reports: lines for the terminal, and events. */
export function createReporter(options: ReporterOptions): Reporter {
  const { run, url, term, spec, startStep, until, events, onLine, now } = options;
  const imagesPerStep = spec.batch.microShards * spec.batch.size;
  const rate = createRunRate(imagesPerStep, now);
  const notices = createNoticeEvents(events, { term, now });
  const onNotice = (text: string): void => {
    onLine({ kind: 'notice', text });
    notices(messages.step(), text);
  };
  let [committedStep, sha256] = [startStep, options.startSha256];
  const worlds = worldReports(options);
  const messages = messageReports(options, rate);
  let scaled = 0;

  return {
    started: () => {
      const { leaseTransitions } = options;
      const data = {
        ...{ run, url, term, step: startStep, last_step: lastStep(spec), until },
        images_per_step: imagesPerStep,
        phases: spec.phases.map(({ name, steps }) => ({ name, steps })),
        ...{ train_samples: options.trainSamples, test_samples: options.testSamples },
        ...(leaseTransitions === undefined ? {} : { lease_transitions: leaseTransitions }),
        lockstep: packageOrigin(),
      };
      events.publish('run.started', `run-started-${term}`, data);
      onLine({ kind: 'run', ...data });
    },
    ...worlds,
    formed: (effect) => {
      // Before the world's own line, so that whoever reads in order drops what is done again.
      messages.goBackTo(effect.world);
      worlds.formed(effect);
    },
    target: (workers) => {
      events.publish('run.scaled', `run-scaled-${term}-${++scaled}`, { workers });
      onLine({ kind: 'target', workers });
    },
    superseded: (reason) => onLine({ kind: 'superseded', reason }),
    message: messages.message,
    health: messages.health,
    rate: () => ({ imagesPerS: rate.imagesPerSecond(), etaS: rate.etaSeconds(until) }),
    committed: (step, sum) => {
      [committedStep, sha256] = [step, sum];
      const data = { step, sha256, url: `${url}/checkpoints/step-${pad(step)}` };
      events.publish('checkpoint.committed', `checkpoint-${pad(step)}-committed`, data);
      onLine({ kind: 'checkpoint', ...data });
    },
    notice: onNotice,
    ended: (ending, world, done) => {
      const { exitCode: exit_code, reason } = ending;
      const kind = kindOfEnd(exit_code);
      const result = {
        ...{ run, url, step: committedStep, sha256, world },
        ...{ images_per_s: rate.overall(), reason, exit_code },
      };
      const told = { ...result, reason: eventText(reason) };
      events.publish(`run.${kind}`, `run-${kind}-${term}`, told);
      onLine({ kind, ...result });
      done();
    },
  };
}

interface MessageReports extends Pick<Reporter, 'message' | 'health'> {
  /** A world starts at `step`, which may be behind what was reported. */
  goBackTo(world: { readonly step: Step; readonly generation: Generation }): void;
  /** The newest step that was reported. */
  step(): Step;
}

function messageReports(
  { startStep, spec, until, url, onLine, events }: ReporterOptions,
  rate: RunRate,
): MessageReports {
  const last = lastStep(spec);
  const steps = createStepFilter(startStep);
  const evaluations = createStepFilter(0);
  const health = createHealth();
  let ailment = '';

  /** Only what has changed is told. */
  const judge = (step: Step, generation: Generation): void => {
    const phase = spec.phases.find(({ name }) => name === health.phase);
    const judgement = judgeHealth(health, phase?.loss.realLabel ?? 1);
    if (judgement === undefined) return;
    ailment = judgement.verdict === 'healthy' ? '' : judgement.text;
    const data = { generation, step, ...judgement };
    events.publish('run.judged', `run-judged-${pad(step)}-${generation}`, data);
    onLine({ kind: 'health', ...data });
  };
  const stepped = (report: StepReport, paces: () => PaceView[], generation: Generation): void => {
    const { step, phase, dataS, computeS, exchangeS, updateS } = report;
    rate.stepped(step, phase, dataS + computeS + exchangeS + updateS);
    const data = {
      generation,
      ...describeStep(report, paces),
      ...redone(steps, step),
      ...{ images_per_s: rate.imagesPerSecond(), eta_s: Math.max(0, rate.etaSeconds(until)) },
    };
    // The step's own event says so.
    if (report.isSkipped)
      onLine({ kind: 'notice', text: `step ${step} was skipped: its gradients were not finite` });
    events.publish('step.committed', idOf('step', data, 'committed'), data);
    onLine({ kind: 'step', ...data, last_step: last, until });
    noteMetrics(health, phase, data.metrics);
    judge(step, generation);
  };
  const evaluated = (report: EvaluationReport, generation: Generation): void => {
    const { step } = report;
    const data = { generation, ...describeEvaluation(report), ...redone(evaluations, step) };
    const reference = { ...data, url: eventText(`${url}/${report.sampleKey}`) };
    events.publish('sample.written', idOf('sample', data, 'written'), reference);
    onLine({ kind: 'evaluation', ...data });
    notePsnr(health, report.psnr, report.bicubicPsnr);
    judge(step, generation);
  };
  return {
    message: (message, paces, generation) => {
      if (message.kind === 'stepReport') {
        if (steps.isNew(message.step)) stepped(message, paces, generation);
      } else if (evaluations.isNew(message.step)) evaluated(message, generation);
    },
    health: () => ailment,
    step: () => steps.newest,
    goBackTo: ({ step, generation }) => {
      const from = steps.newest;
      if (step < from) {
        const data = { generation, step, from };
        events.publish('world.rolledBack', `world-${generation}-rolled-back`, data);
        onLine({ kind: 'rollback', ...data });
      }
      if (step < from) forgetSteps(health);
      steps.goBackTo(step);
      evaluations.goBackTo(step);
    },
  };
}

function worldReports({
  events,
  onLine,
}: ReporterOptions): Pick<Reporter, 'formed' | 'lost' | 'observed' | 'worldReason'> {
  let worldReason = '';
  let observed = '';
  return {
    formed: ({ world: { generation, members, step }, fingerprint, reason }) => {
      worldReason = reason;
      const named = members.map(({ rank, worker, incarnation, address }) => {
        return { rank, worker, incarnation, address };
      });
      const data = { generation, members: named, step, reason, fingerprint };
      const told = { ...data, reason: eventText(reason) };
      events.publish('world.formed', `world-${generation}`, told);
      onLine({ kind: 'world', ...data });
    },
    lost: ({ worker, reason, generation, silentMs }) => {
      const data = { worker, reason, generation, silent_ms: Math.round(silentMs) };
      const told = { ...data, reason: eventText(reason), silent_ms: data.silent_ms || 0 };
      events.publish('world.lost', `world-${generation}-lost-${worker}`, told);
      onLine({ kind: 'lost', ...data });
    },
    observed: (data) => {
      const id = `world-${data.generation}-observed-${pad(data.step)}`;
      if (id === observed) return;
      observed = id;
      events.publish('world.observed', id, data);
    },
    worldReason: () => worldReason,
  };
}

/** The steps that were reported: each once, unless the run has gone back behind it. */
interface StepFilter {
  readonly newest: Step;
  /** Whether the step is to be reported; workers send again what may have been lost. */
  isNew(step: Step): boolean;
  goBackTo(step: Step): void;
  /** Whether it was reported before the run went back. */
  isRedone(step: Step): boolean;
}

function createStepFilter(reportedStep: Step): StepFilter {
  let newest = reportedStep;
  let furthest = reportedStep;
  return {
    get newest() {
      return newest;
    },
    isNew: (step) => {
      if (step <= newest) return false;
      newest = step;
      return true;
    },
    goBackTo: (step) => {
      furthest = Math.max(furthest, newest);
      newest = Math.min(newest, step);
    },
    isRedone: (step) => step <= furthest,
  };
}

function redone(filter: StepFilter, step: Step): { readonly redone?: true } {
  return filter.isRedone(step) ? { redone: true } : {};
}

/** What is done again, in a later world, is published under another id, and is another event. */
function idOf(
  kind: 'step' | 'sample',
  { step, generation }: { step: Step; generation: Generation },
  name: string,
): string {
  return `${kind}-${pad(step)}-${generation}-${name}`;
}

function kindOfEnd(exitCode: ExitCode): 'finished' | 'stopped' | 'failed' {
  if (exitCode === exitCodes.ok) return 'finished';
  return isStop(exitCode) ? 'stopped' : 'failed';
}

function describeStep(report: StepReport, paces: () => PaceView[]) {
  const { step, phase, dataS, computeS, exchangeS, updateS, isSkipped } = report;
  const metrics = Object.fromEntries(report.metrics.map(({ name, value }) => [name, value]));
  const wait = report.waitedS ?? 0;
  const seconds = { data: dataS, compute: computeS, exchange: exchangeS, update: updateS, wait };
  const straggler = stragglerEvent(findStraggler(paces()));
  return {
    ...{ step, phase, metrics, seconds },
    ...(isSkipped ? ({ skipped: true } as const) : {}),
    ...(straggler === undefined ? {} : { straggler }),
  };
}

function describeEvaluation(report: EvaluationReport) {
  const { step, psnr, ssim, bicubicPsnr, bicubicSsim, faces, sampleKey } = report;
  const { identity, bicubicIdentity } = report;
  return {
    ...{ step, psnr, ssim },
    ...(identity === undefined ? {} : { identity }),
    ...{ bicubic_psnr: bicubicPsnr, bicubic_ssim: bicubicSsim },
    ...(bicubicIdentity === undefined ? {} : { bicubic_identity: bicubicIdentity }),
    ...{ faces, sample_key: sampleKey },
  };
}

function pad(step: number): string {
  return String(step).padStart(8, '0');
}
