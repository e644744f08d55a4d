// Where the cases of the fault matrix are played: a small dataset, the checksum that an undisturbed
// run has after so many steps, and clusters that are started over it.

import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { printSpec, tinyRun } from '../support/tiny-run.js';
import { startClusterRun, type ClusterRun, type ClusterStart } from '../support/cluster-run.js';
import { packFaces } from '../support/tiny-dataset.js';

/** Checkpoints of the undisturbed run, whose sums say what every shorter run must end with. */
const everySteps = 20;

export interface StageStart {
  readonly workers: number;
  /** A multiple of 20. */
  readonly steps: number;
  readonly everySteps?: number;
  /** Url of the run's folder; default: one of its own. */
  readonly run?: string;
  readonly args?: readonly string[];
  /** It is killed after so long. */
  readonly limitMs?: number;
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

export interface Stage {
  readonly folder: string;
  /** Parameters of an undisturbed run after so many steps, a multiple of 20. */
  sha256(steps: number): string;
  /** Seconds that a step takes in the undisturbed run, on one worker. */
  readonly stepS: number;
  /** Starts a new run. */
  start(options: StageStart): ClusterRun;
  /** Goes on with a run. */
  resume(run: string, workers: number): ClusterRun;
  /** Ends what is still running and deletes the folder. */
  close(): Promise<void>;
}

/** Longest life of a cluster, unless told otherwise. */
const usualLimitMs = 180_000;

/** Packs a dataset and trains `steps` steps of the run on one worker, undisturbed. */
export async function openStage(steps: number): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-faults-'));
  const dataset = `file://${folder}/dataset`;
  await packFaces(dataset, folder);
  const writeSpec = (length: number, every: number): string => {
    const name = `spec-${length}-${every}.yaml`;
    const spec = { ...tinyRun(dataset, length - 3), checkpoint: { everySteps: every, keep: 3 } };
    writeFileSync(join(folder, name), printSpec(spec));
    return name;
  };
  const undisturbed = await trainUndisturbed(folder, writeSpec(steps, everySteps));
  const runs: ClusterRun[] = [];
  const open = (start: Omit<ClusterStart, 'cwd'>): ClusterRun => {
    const run = startClusterRun({ ...start, cwd: folder });
    runs.push(run);
    return run;
  };
  return {
    folder,
    stepS: undisturbed.stepS,
    sha256: (step) => {
      const sum = undisturbed.sums.get(step);
      if (sum === undefined) throw new Error(`no sum is known of step ${step}`);
      return sum;
    },
    start: ({ workers, steps: length, everySteps: every = everySteps, ...given }) => {
      const { run = `run-${runs.length}`, environment, limitMs = usualLimitMs } = given;
      const spec = writeSpec(length, every);
      const common = ['train', '-f', spec, '--run', run, '--workers', `${workers}`];
      const args = [...common, '--allow-faults', ...(given.args ?? [])];
      return open({ args, environment, limitMs });
    },
    resume: (run, workers) =>
      open({ args: ['resume', run, '--workers', `${workers}`], limitMs: usualLimitMs }),
    close: async () => {
      await Promise.all(runs.map((run) => run.close()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The sums of an undisturbed run's checkpoints, and how long its steps took. */
async function trainUndisturbed(
  cwd: string,
  spec: string,
): Promise<{ sums: ReadonlyMap<number, string>; stepS: number }> {
  const args = ['train', '-f', spec, '--run', 'undisturbed', '--workers', '1'];
  const run = startClusterRun({ args, cwd, limitMs: usualLimitMs });
  const { code, said } = await run.end();
  if (code !== 0) throw new Error(`the undisturbed run failed:\n${said}`);
  const saved = run.lines.filter(({ kind }) => kind === 'checkpoint');
  const sums = new Map(saved.map(({ line }) => [Number(line['step']), String(line['sha256'])]));
  const steps = run.lines.filter(({ kind }) => kind === 'step');
  const [first, last] = [steps[0], steps[steps.length - 1]];
  return { sums, stepS: (last.atMs - first.atMs) / 1000 / (steps.length - 1) };
}
