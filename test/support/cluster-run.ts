// A local cluster under observation: `lockstep train --json` (or resume) as a process, each of its
// lines with the time it came, faults with the time they were done, and how long it took until a
// fault was found and training went on.

import { createInterface } from 'node:readline';
import { AdminError, createAdminClient, type AdminClient } from '../../shared/control/admin.js';
import type { FaultMessage, Trap } from '../../shared/control/messages.js';
import { startLockstep, type CommandResult } from './lockstep-command.js';
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

export interface ClusterStart {
  readonly args: readonly string[];
  readonly cwd: string;
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** The cluster is killed after so long. */
  readonly limitMs: number;
}

/** Starts a cluster with `lockstep ...args --json`. */
export function startClusterRun(start: ClusterStart): ClusterRun {
  return new ClusterRun(start);
}

export class ClusterRun {
  readonly lines: SeenLine[] = [];
  readonly faults: DoneFault[] = [];
  readonly startedMs = performance.now();
  readonly #result: Promise<CommandResult>;
  readonly #process: { kill(signal: NodeJS.Signals): boolean };
  #said = '';
  #isOver = false;

  constructor({ args, cwd, environment, limitMs }: ClusterStart) {
    const running = startLockstep([...args, '--json'], cwd, environment, limitMs);
    const { stdout, stderr } = running.process;
    if (stdout === null || stderr === null) throw new Error('its output is read here');
    createInterface({ input: stdout }).on('line', (text) => this.#see(text));
    createInterface({ input: stderr }).on('line', (text) => this.#hear(text));
    this.#process = running.process;
    this.#result = running.result.finally(() => (this.#isOver = true));
  }

  /** Resolves when the cluster has ended. */
  async end(): Promise<{ code: number; last: Readonly<Record<string, unknown>>; said: string }> {
    const { code } = await this.#result;
    return { code, last: this.lines.at(-1)?.line ?? {}, said: this.#said };
  }

  /** Asks the run to stop after the step in progress. */
  stop(): void {
    this.#process.kill('SIGINT');
  }

  /** Ends the cluster if it is still there, at once. */
  async close(): Promise<void> {
    if (!this.#isOver) this.#process.kill('SIGKILL');
    await this.#result;
  }

  /** The first line of that kind that came after `afterMs` and is wanted. */
  async line(
    kind: string,
    isWanted: (line: SeenLine['line']) => boolean = () => true,
    afterMs = 0,
  ): Promise<SeenLine> {
    const find = (): SeenLine | undefined => this.#find(kind, afterMs, isWanted);
    await this.until(() => find() !== undefined, `a line "${kind}"`);
    const found = find();
    if (found === undefined) throw new Error(`the line "${kind}" is gone`);
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
    const hits = (): DoneFault[] => this.faults.filter(isIt);
    await this.until(() => hits().length >= times, `a trap in ${worker}`);
    const hit = hits().at(times - 1);
    if (hit === undefined) throw new Error(`the trap in ${worker} is gone`);
    return hit;
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
    const find = (): SeenLine | undefined =>
      this.lines.find((line) => line.atMs > atMs && isTold(line));
    await this.until(() => find() !== undefined, `the loss of ${victim}`);
    return find() ?? this.lines[0];
  }

  async #ask(ask: (client: AdminClient) => Promise<unknown>, what: string): Promise<void> {
    let refusal = '';
    const isDone = async (): Promise<boolean> => {
      const address = this.lines.findLast(({ kind }) => kind === 'listening')?.line['address'];
      if (address === undefined) return false;
      const client = createAdminClient(String(address), 1_000);
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
      const text = error instanceof Error ? error.message : String(error);
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

  #find(
    kind: string,
    afterMs: number,
    isWanted: (line: SeenLine['line']) => boolean,
  ): SeenLine | undefined {
    return this.lines.find((one) => one.kind === kind && one.atMs > afterMs && isWanted(one.line));
  }

  #see(text: string): void {
    if (!text.startsWith('{')) return;
    const line = JSON.parse(text) as Record<string, unknown>;
    this.lines.push({ atMs: performance.now(), kind: String(line['kind']), line });
  }

  #hear(text: string): void {
    const [, victim, signal, activity] = /^(\S+): (SIG\w+) on purpose, at (\w+)/.exec(text) ?? [];
    if (victim !== undefined) this.note(`trap ${signal} at ${activity}`, victim);
    this.#said += `${text}\n`;
  }
}
