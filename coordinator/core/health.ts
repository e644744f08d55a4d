// Whether the two networks of a GAN are in balance, as far as metrics show it: one line for the
// operator, with what to do. It decides nothing of the run.

/** Steps that a mean is taken over: what lasts shorter is noise. */
const windowSteps = 100;

/** Steps of the mean that is compared with the best of the phase. */
const recentSteps = 20;

/** So much above the lowest mean of its phase a metric has run away. */
const longestGrowth = { mse: 4, 'gradient/generator': 100 } as const;
type GrowingMetric = keyof typeof longestGrowth;
const growingMetrics = Object.keys(longestGrowth) as GrowingMetric[];

/** A PSNR so far below bicubic, and below what it was, has collapsed; in dB. */
const longestFall = 3;

/** Scores so near to their labels leave nothing to learn from; twice as far ends that. */
const wonWithin = 0.05;

export type Verdict = 'healthy' | 'discriminator wins' | 'generator collapses';

/** What is to be said of a run's networks, in one line. */
export interface Judgement {
  readonly verdict: Verdict;
  readonly text: string;
}

type Metrics = Readonly<Record<string, number>>;

/** What is remembered of the phase of now; changed in place. */
export interface Health {
  phase: string;
  /** Metrics of its newest steps, at most `windowSteps`; none where no discriminator trains. */
  readonly steps: Metrics[];
  /** The lowest means over whole windows. */
  readonly lowest: Map<GrowingMetric, number>;
  /** Of the whole run, in dB. */
  bestPsnr: number;
  lastPsnr: { readonly generated: number; readonly bicubic: number } | undefined;
  verdict: Verdict;
}

/** The health of a run of which nothing is known. */
export function createHealth(): Health {
  return {
    ...{ phase: '', steps: [], lowest: new Map(), bestPsnr: -Infinity, lastPsnr: undefined },
    verdict: 'healthy',
  };
}

/** Notes a step's metrics by name. */
export function noteMetrics(health: Health, phase: string, metrics: Metrics): void {
  if (phase !== health.phase) forgetSteps(health);
  health.phase = phase;
  if (metrics['score/real'] === undefined) return;
  health.steps.push(metrics);
  if (health.steps.length > windowSteps) health.steps.shift();
  if (health.steps.length < windowSteps) return;
  for (const metric of growingMetrics) {
    const mean = meanOf(health.steps, metric);
    if (mean < (health.lowest.get(metric) ?? Infinity)) health.lowest.set(metric, mean);
  }
}

/** Notes an evaluation; PSNR of the generated and of the bicubic pictures, in dB. */
export function notePsnr(health: Health, generated: number, bicubic: number): void {
  health.bestPsnr = Math.max(health.bestPsnr, generated);
  health.lastPsnr = { generated, bicubic };
}

/** The run goes back: what was noted of its steps counts no more. */
export function forgetSteps(health: Health): void {
  health.steps.length = 0;
  health.lowest.clear();
  health.lastPsnr = undefined;
}

/**
 * What has changed since the last call, if anything. `realLabel` is what the discriminator is to
 * give real pictures. Nothing is said of a phase without a discriminator, or before it has gone on
 * for long enough.
 */
export function judgeHealth(health: Health, realLabel: number): Judgement | undefined {
  if (health.steps.length === 0) return undefined;
  const judgement =
    findCollapse(health) ?? findVictory(health, realLabel) ?? describeBalance(health);
  if (judgement === undefined || judgement.verdict === health.verdict) return undefined;
  health.verdict = judgement.verdict;
  return judgement;
}

function findCollapse(health: Health): Judgement | undefined {
  const sign = fallenPsnr(health) ?? grownMetric(health);
  if (sign === undefined) return undefined;
  const advice =
    'go on from an earlier checkpoint in a new run (init.generator), with a lower ' +
    'learningRate.generator or a higher loss.pixel';
  return { verdict: 'generator collapses', text: `the generator collapses: ${sign}; ${advice}` };
}

function fallenPsnr({ lastPsnr, bestPsnr }: Health): string | undefined {
  if (lastPsnr === undefined) return undefined;
  const { generated, bicubic } = lastPsnr;
  if (!(generated < bicubic - longestFall && generated < bestPsnr - longestFall)) return undefined;
  return (
    `PSNR ${generated.toFixed(2)} dB is ${(bicubic - generated).toFixed(2)} below bicubic, ` +
    `and was ${bestPsnr.toFixed(2)}`
  );
}

function grownMetric({ steps, lowest }: Health): string | undefined {
  if (steps.length < windowSteps) return undefined;
  for (const metric of growingMetrics) {
    const [before, now] = [lowest.get(metric), meanOf(steps.slice(-recentSteps), metric)];
    if (before !== undefined && before > 0 && now > longestGrowth[metric] * before)
      return `${metric} was ${before.toPrecision(3)} and is ${now.toPrecision(3)}`;
  }
  return undefined;
}

function findVictory({ steps, verdict }: Health, realLabel: number): Judgement | undefined {
  if (steps.length < windowSteps) return undefined;
  const within = verdict === 'discriminator wins' ? 2 * wonWithin : wonWithin;
  const [real, fake] = [meanOf(steps, 'score/real'), meanOf(steps, 'score/fake')];
  if (!(real > realLabel - within && fake < within)) return undefined;
  const advice =
    'lower learningRate.discriminator, set loss.realLabel to 0.9, ' +
    'or try loss.objective relativistic';
  const text = `the discriminator wins: ${describeScores(steps)}; ${advice}`;
  return { verdict: 'discriminator wins', text };
}

function describeBalance({ steps }: Health): Judgement | undefined {
  if (steps.length < windowSteps) return undefined;
  return {
    verdict: 'healthy',
    text: `the networks are in balance again: ${describeScores(steps)}`,
  };
}

function describeScores(steps: readonly Metrics[]): string {
  const mean = (metric: string): string => meanOf(steps, metric).toFixed(2);
  return (
    `score/real ${mean('score/real')} and score/fake ${mean('score/fake')} ` +
    `over ${steps.length} steps`
  );
}

/** NaN where a step lacks it or had none that was finite: nothing is concluded from that. */
function meanOf(steps: readonly Metrics[], metric: string): number {
  return steps.reduce((sum, metrics) => sum + (metrics[metric] ?? NaN), 0) / steps.length;
}
