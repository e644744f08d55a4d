// What checkpoints cost the steps: the same real local run in turns, without any and with one every
// few steps. What a step is held up by one shows in the step that follows; what its thread's work
// costs the steps beside it, in all of them.

import { median } from '../../shared/median.js';
import { isDue, type RunSpec } from '../../shared/spec/schema.js';
import { trainHere, withBenchFolder, type BenchFolder, type TrainLine } from './local-run.js';
import { processorSeconds } from './machine.js';
import { inTurns, medianRatio, rounded } from './turns.js';

export interface CheckpointTurnsOptions {
  /** Its last phase is trained. */
  readonly spec: RunSpec;
  readonly workers: number;
  /** Steps from one checkpoint to the next. */
  readonly everySteps: number;
  /** Checkpoints of a run that are measured. */
  readonly checkpoints: number;
  /** Each has a run without and one with. */
  readonly rounds: number;
  readonly say: (text: string) => void;
}

/** Medians over the rounds; names as printed with --json. Seconds are of a step. */
export interface CheckpointTurns {
  readonly bare_step_s: number;
  readonly step_s: number;
  /** Of a round's run with checkpoints over its bare one, the median. */
  readonly step_ratio: number;
  /** Processor seconds of all workers. */
  readonly bare_cpu_s: number;
  readonly cpu_s: number;
  readonly cpu_ratio: number;
  /** The step after a checkpoint, and the median of the others in the same run. */
  readonly next_step_s: number;
  readonly other_step_s: number;
  /** What the step after a checkpoint takes longer, over the steps from one to the next. */
  readonly held_up_share: number;
  readonly held_up_shares: readonly number[];
  readonly every_steps: number;
  readonly workers: number;
  readonly rounds: number;
}

interface Taken {
  readonly stepS: number;
  readonly cpuS: number;
  readonly nextS: number;
  readonly otherS: number;
}

/** Steps at the start that compile and fill caches. */
const warmUp = 3;
const never = 1_000_000;

/** Measures; throws when a run does not come to its end. */
export function benchCheckpoints(options: CheckpointTurnsOptions): Promise<CheckpointTurns> {
  const { workers, everySteps, rounds, say } = options;
  return withBenchFolder(async (folder) => {
    const ways = [never, everySteps];
    const [bare, kept] = await inTurns(ways, rounds, async (every, round) => {
      const one = await takeSteps(options, folder, `round-${round}-${ways.indexOf(every)}`, every);
      const what = every === never ? 'without' : 'with';
      const cpu = `${one.cpuS.toFixed(3)} of processors`;
      say(
        `round ${round + 1} of ${rounds}, ${what}: a step took ${one.stepS.toFixed(3)} s (${cpu})`,
      );
      return one;
    });
    const middle = (taken: readonly Taken[], read: (one: Taken) => number): number =>
      rounded(median(taken.map(read)), 4);
    const ratio = (read: (one: Taken) => number): number =>
      rounded(medianRatio(kept.map(read), bare.map(read)) ?? NaN, 4);
    const shares = kept.map(({ nextS, otherS }) =>
      rounded((nextS - otherS) / (everySteps * otherS), 4),
    );
    return {
      bare_step_s: middle(bare, (one) => one.stepS),
      step_s: middle(kept, (one) => one.stepS),
      step_ratio: ratio((one) => one.stepS),
      bare_cpu_s: middle(bare, (one) => one.cpuS),
      cpu_s: middle(kept, (one) => one.cpuS),
      cpu_ratio: ratio((one) => one.cpuS),
      next_step_s: middle(kept, (one) => one.nextS),
      other_step_s: middle(kept, (one) => one.otherS),
      held_up_share: median(shares),
      held_up_shares: shares,
      every_steps: everySteps,
      ...{ workers, rounds },
    };
  });
}

async function takeSteps(
  { spec, workers, everySteps, checkpoints }: CheckpointTurnsOptions,
  folder: BenchFolder,
  name: string,
  every: number,
): Promise<Taken> {
  const first = everySteps * Math.ceil(warmUp / everySteps) - 1;
  const last = first + everySteps * checkpoints;
  const pids: number[] = [];
  const cpuNow = (): number => pids.reduce((sum, pid) => sum + processorSeconds(pid), 0);
  const [next, other]: [number[], number[]] = [[], []];
  let [beganMs, beforeMs, endedMs, cpu] = [NaN, NaN, NaN, NaN];
  const take = (line: TrainLine): void => {
    if (line['kind'] === 'worker') pids.push(Number(line['pid']));
    if (line['kind'] !== 'step') return;
    const [step, nowMs] = [Number(line['step']), performance.now()];
    if (step === first) [beganMs, cpu] = [nowMs, cpuNow()];
    if (step > first && step <= last)
      (isDue(everySteps, step - 1) ? next : other).push((nowMs - beforeMs) / 1e3);
    if (step === last) [endedMs, cpu] = [nowMs, cpuNow() - cpu];
    beforeMs = nowMs;
  };
  // One step more: the run's last checkpoint is not of the steps.
  const until = ['--workers', String(workers), '--stop-after', String(last + 1)];
  await trainHere(folder, name, specOf(spec, folder.datasetUrl, every), until, take);
  const stepS = (endedMs - beganMs) / 1e3 / (last - first);
  return { stepS, cpuS: cpu / (last - first), nextS: median(next), otherS: median(other) };
}

/** The spec's last phase, stored as often as said, and evaluated only at its end. */
function specOf(spec: RunSpec, url: string, everySteps: number): RunSpec {
  const phase = { ...spec.phases.at(-1)!, steps: never };
  return {
    ...spec,
    dataset: { ...spec.dataset, url, testFraction: 0.1 },
    phases: [phase],
    checkpoint: { ...spec.checkpoint, everySteps, keep: 1 },
    evaluation: { ...spec.evaluation, everySteps: 0, faces: 1, limit: 1 },
  };
}
