// A run under observation: `lockstep train --json` (or resume) as a process, each of its lines with
// the time it came, faults with the time they were done; and the stage such runs are played on: a
// dataset, and the checksums of a run that nothing happened to.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AdminError, createAdminClient, type AdminClient } from '../../shared/control/admin.js';
import type { FaultMessage, Trap } from '../../shared/control/messages.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { messageOf } from '../../shared/problems.js';
import { printSpec, runIn, testFolder, writeRuns } from './tiny-run.js';
import { startLockstep, type RunningCommand } from './lockstep-command.js';
import { until as waitUntil } from './until.js';

/** Longest wait for anything to happen. */
const patienceMs = 60_000;

/** A line of stdout and when it came, in milliseconds of `performance.now()`. */
export interface SeenLine {
  readonly atMs: number;
  readonly kind: string;
  readonly line: Readonly<Record<string, unknown>>;
}

/** A fault that was done: to whom ("worker-1", "coordinator", "store"), and when. */
export interface DoneFault {
  readonly what: string;
  readonly victim: string;
  readonly atMs: number;
}

/** A member of a world, as a line tells it. */
export interface SeenMember {
  readonly worker: string;
  readonly incarnation: number;
}

/** The members that a line "world" tells of. */
export function membersOf(line: SeenLine['line']): readonly SeenMember[] {
  return (line['members'] ?? []) as readonly SeenMember[];
}

export interface WatchedStart {
  readonly args: readonly string[];
  readonly cwd: string;
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** It is killed after so long. */
  readonly limitMs: number;
}

export class WatchedRun {
  readonly lines: SeenLine[] = [];
  readonly faults: DoneFault[] = [];
  readonly startedMs = performance.now();
  readonly #running: RunningCommand;
  #said = '';
  #isOver = false;

  /** Starts `lockstep ...args --json`. */
  constructor({ args, cwd, environment, limitMs }: WatchedStart) {
    this.#running = startLockstep([...args, '--json'], cwd, environment, limitMs, {
      onLine: (line) =>
        this.lines.push({ atMs: performance.now(), kind: String(line['kind']), line }),
      onSaid: (text) => this.#hear(text),
    });
    void this.#running.result.then(() => (this.#isOver = true));
  }

  /** Resolves when the run has ended. */
  async end(): Promise<{ code: number; last: Readonly<Record<string, unknown>>; said: string }> {
    const { code } = await this.#running.result;
    return { code, last: this.lines.at(-1)?.line ?? {}, said: this.#said };
  }

  /** Asks the run to stop after the step in progress. */
  stop(): void {
    this.#running.process.kill('SIGINT');
  }

  /** Ends the run if it is still there, at once. */
  async close(): Promise<void> {
    if (!this.#isOver) this.#running.process.kill('SIGKILL');
    await this.#running.result;
  }

  /** The first line of that kind that came after `afterMs` and is wanted. */
  async line(
    kind: string,
    isWanted: (line: SeenLine['line']) => boolean = () => true,
    afterMs = 0,
  ): Promise<SeenLine> {
    return this.#seen(
      `a line "${kind}"`,
      (one) => one.kind === kind && one.atMs > afterMs && isWanted(one.line),
    );
  }

  async #seen(what: string, isIt: (line: SeenLine) => boolean): Promise<SeenLine> {
    await this.until(() => this.lines.some(isIt), what);
    const found = this.lines.find(isIt);
    assert.ok(found !== undefined);
    return found;
  }

  /** Waits until a step of this number or a higher one was told. */
  step(step: number): Promise<SeenLine> {
    return this.line('step', (line) => Number(line['step']) >= step);
  }

  /** The first step that is told after a world was formed, at `afterMs` or later. */
  async goesOn(afterMs: number): Promise<SeenLine> {
    const world = await this.line('world', undefined, afterMs - 1e-6);
    return this.line('step', undefined, world.atMs);
  }

  /** The newest process of a worker, or of the (first) coordinator. */
  async pidOf(who: string): Promise<number> {
    const isIt = ({ kind, line }: SeenLine): boolean =>
      who === 'coordinator' ? kind === who : kind === 'worker' && line['worker'] === who;
    await this.until(() => this.lines.some(isIt), `the process of ${who}`);
    return Number(this.lines.filter(isIt).at(-1)?.line['pid']);
  }

  /** Sends a signal to the process of a worker or the coordinator. */
  async signal(victim: string, signal: NodeJS.Signals): Promise<DoneFault> {
    const pid = await this.pidOf(victim);
    process.kill(pid, signal);
    return this.note(signal, victim);
  }

  /** Notes a fault that the caller has done. */
  note(what: string, victim: string): DoneFault {
    const done = { what, victim, atMs: performance.now() };
    this.faults.push(done);
    return done;
  }

  /** Has a worker signal itself at an activity. */
  trap(worker: string, trap: Trap): Promise<void> {
    return this.inject(worker, { kind: 'fault', fault: 'trap', seconds: 0, peer: '', trap });
  }

  /** Waits until a trap has sprung in this worker. */
  async sprung(worker: string, times = 1): Promise<DoneFault> {
    const isIt = ({ what, victim }: DoneFault): boolean =>
      what.startsWith('trap ') && victim === worker;
    await this.until(() => this.faults.filter(isIt).length >= times, `a trap in ${worker}`);
    return this.faults.filter(isIt)[times - 1];
  }

  /** Passes a fault on to a worker, as soon as there is one of that name and a coordinator. */
  async inject(worker: string, fault: FaultMessage): Promise<void> {
    await this.#ask((client) => client.injectFault(worker, fault), `a fault for ${worker}`);
    if (fault.fault !== 'trap') this.note(fault.fault, worker);
  }

  /** Says how many workers the run is to have. */
  scale(workers: number): Promise<void> {
    return this.#ask((client) => client.scale(workers), `${workers} workers`);
  }

  /** The line that told of a worker's loss: its own, or a world's in which its process is not. */
  async loss({ victim, atMs }: DoneFault): Promise<SeenLine> {
    const before = this.lines.filter((one) => one.kind === 'world' && one.atMs <= atMs);
    const incarnation = before
      .flatMap(({ line }) => membersOf(line))
      .findLast(({ worker }) => worker === victim)?.incarnation;
    const isTold = ({ kind, line }: SeenLine): boolean =>
      kind === 'lost'
        ? line['worker'] === victim
        : kind === 'world' && !membersOf(line).some((one) => one.incarnation === incarnation);
    return this.#seen(`the loss of ${victim}`, (line) => line.atMs > atMs && isTold(line));
  }

  async #ask(ask: (client: AdminClient) => Promise<unknown>, what: string): Promise<void> {
    let refusal = '';
    const isDone = async (): Promise<boolean> => {
      const address = this.lines.findLast(({ kind }) => kind === 'listening')?.line['address'];
      if (address === undefined) return false;
      const client = createAdminClient(String(address), { timeoutMs: 1_000 });
      try {
        await ask(client);
        return true;
      } catch (error) {
        if (!(error instanceof AdminError)) throw error;
        refusal = error.message;
        return false;
      } finally {
        client.close();
      }
    };
    await this.until(isDone, `${what} ${refusal}`);
  }

  /** Waits for a condition; fails when it does not come true, or the run ends before. */
  async until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const isMet = async (): Promise<boolean> => {
      // The last lines come before the end.
      const wasOver = this.#isOver;
      if (await condition()) return true;
      if (wasOver) throw new Error(`the run ended before ${what}:\n${this.transcript()}`);
      return false;
    };
    await waitUntil(isMet, what, patienceMs).catch((error: unknown) => {
      const text = messageOf(error);
      throw new Error(text.includes('\n') ? text : `${text}\n${this.transcript()}`);
    });
  }

  /** What happened, without the steps, for a test that fails. */
  transcript(): string {
    const seen = this.lines.filter(({ kind }) => kind !== 'checkpoint');
    const events = [
      ...seen.flatMap(({ atMs, line, kind }, i) => {
        const isInside = kind === 'step' && seen[i - 1]?.kind === 'step';
        const isLast = seen[i + 1]?.kind !== 'step';
        const text = kind === 'step' ? `step ${String(line['step'])}` : JSON.stringify(line);
        return isInside && !isLast ? [] : [{ atMs, text }];
      }),
      ...this.faults.map(({ atMs, what, victim }) => ({ atMs, text: `FAULT ${what} ${victim}` })),
    ].sort((a, b) => a.atMs - b.atMs);
    const seconds = (ms: number): string => ((ms - this.startedMs) / 1000).toFixed(2).padStart(7);
    const told = events.map(({ atMs, text }) => `${seconds(atMs)} ${text.slice(0, 400)}`);
    return [...told, this.#said].join('\n');
  }

  #hear(text: string): void {
    const [, victim, signal, activity] = /^(\S+): (SIG\w+) on purpose, at (\w+)/.exec(text) ?? [];
    if (victim !== undefined) this.note(`trap ${signal} at ${activity}`, victim);
    this.#said += `${text}\n`;
  }
}

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
  /** Fails unless a run that has ended did so in order, with the bytes of the undisturbed one. */
  check(run: WatchedRun, steps: number): Promise<void>;
  /** Seconds that a step takes in the undisturbed run, on one worker. */
  readonly stepS: number;
  /** Starts a new run. */
  start(options: StageStart): WatchedRun;
  /** Goes on with a run. */
  resume(run: string, workers: number): WatchedRun;
  /** Ends what is still running. */
  close(): Promise<void>;
}

/** Longest life of a run, unless given. */
const usualLimitMs = 180_000;

/** Packs a dataset and trains `steps` steps of the run on one worker, undisturbed. */
export async function openStage(steps: number): Promise<Stage> {
  const folder = testFolder();
  await writeRuns(folder, {});
  const writeSpec = (length: number, every: number): string => {
    const name = `spec-${length}-${every}.yaml`;
    const spec = runIn(folder, { steps: length, checkpoint: { everySteps: every, keep: 3 } });
    writeFileSync(join(folder, name), printSpec(spec));
    return name;
  };
  const undisturbed = await trainUndisturbed(folder, writeSpec(steps, everySteps));
  const runs: WatchedRun[] = [];
  const open = (start: Omit<WatchedStart, 'cwd'>): WatchedRun => {
    const run = new WatchedRun({ ...start, cwd: folder });
    runs.push(run);
    return run;
  };
  return {
    folder,
    stepS: undisturbed.stepS,
    check: async (run, length) => {
      const { code, last } = await run.end();
      const { kind, step, sha256 } = last;
      const said = run.transcript();
      const expected = undisturbed.sums.get(length);
      assert.ok(expected !== undefined, `no sum is known of step ${length}`);
      assert.deepEqual(
        { code, kind, step },
        { code: exitCodes.ok, kind: 'finished', step: length },
        said,
      );
      assert.equal(sha256, expected, `SHA-256 of the parameters\n${said}`);
      const steps = run.lines.filter(({ kind }) => kind === 'step').map(({ line }) => line);
      const firsts = steps.filter((line) => line['redone'] !== true);
      const numbers = new Set(firsts.map((line) => line['step']));
      assert.equal(numbers.size, firsts.length, `no step is new twice\n${said}`);
      const taken = new Set(steps.map((line) => `${line['generation']} ${line['step']}`));
      assert.equal(taken.size, steps.length, `no world takes a step twice\n${said}`);
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
    close: async () => void (await Promise.all(runs.map((run) => run.close()))),
  };
}

/** The sums of an undisturbed run's checkpoints, and how long its steps took. */
async function trainUndisturbed(
  cwd: string,
  spec: string,
): Promise<{ sums: ReadonlyMap<number, string>; stepS: number }> {
  const args = ['train', '-f', spec, '--run', 'undisturbed', '--workers', '1'];
  const run = new WatchedRun({ args, cwd, limitMs: usualLimitMs });
  const { code, said } = await run.end();
  if (code !== 0) throw new Error(`the undisturbed run failed:\n${said}`);
  const saved = run.lines.filter(({ kind }) => kind === 'checkpoint');
  const sums = new Map(saved.map(({ line }) => [Number(line['step']), String(line['sha256'])]));
  const steps = run.lines.filter(({ kind }) => kind === 'step');
  const [first, last] = [steps[0], steps[steps.length - 1]];
  return { sums, stepS: (last.atMs - first.atMs) / 1000 / (steps.length - 1) };
}
