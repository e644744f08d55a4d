// One container of a pod: its process with its output, its probe and its status. It is started
// once.

import type {
  V1Container,
  V1ContainerState,
  V1ContainerStateTerminated,
  V1ContainerStatus,
} from '@kubernetes/client-node';
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../../shared/problems.js';
import { startProbe, type Probed } from './probes.js';

/** A line with its time, RFC 3339 with nine digits. */
export interface LogLine {
  readonly stamp: string;
  readonly text: string;
}

export interface ContainerLog {
  readonly lines: readonly LogLine[];
  /** Adds output of one stream; a line counts when it is complete. */
  write(stream: 'stdout' | 'stderr', chunk: string): void;
  /** Nothing comes any more. */
  end(): void;
  /** Calls `onLine` for each line from now on and `onEnd` at the end; returns how to stop. */
  follow(onLine: (line: LogLine) => void, onEnd: () => void): () => void;
}

/** Lines kept of a container. */
const maxLines = 50_000;

/** An empty log. */
export function createContainerLog(): ContainerLog {
  const lines: LogLine[] = [];
  const partial = { stdout: '', stderr: '' };
  const followers = new Set<{ onLine: (line: LogLine) => void; onEnd: () => void }>();
  let isEnded = false;
  let lastNs = 0n;
  const add = (text: string): void => {
    const nowNs = BigInt(Date.now()) * 1_000_000n;
    lastNs = nowNs > lastNs ? nowNs : lastNs + 1n;
    const seconds = new Date(Number(lastNs / 1_000_000n)).toISOString().slice(0, 19);
    const stamp = `${seconds}.${String(lastNs % 1_000_000_000n).padStart(9, '0')}Z`;
    lines.push({ stamp, text });
    if (lines.length > maxLines) lines.shift();
    for (const { onLine } of followers) onLine({ stamp, text });
  };
  return {
    lines,
    write(stream, chunk) {
      const parts = (partial[stream] + chunk).split('\n');
      partial[stream] = parts.pop() ?? '';
      parts.forEach(add);
    },
    end() {
      for (const rest of Object.values(partial)) if (rest !== '') add(rest);
      isEnded = true;
      for (const { onEnd } of followers) onEnd();
      followers.clear();
    },
    follow(onLine, onEnd) {
      if (isEnded) {
        onEnd();
        return () => undefined;
      }
      const follower = { onLine, onEnd };
      followers.add(follower);
      return () => void followers.delete(follower);
    },
  };
}

export interface ContainerProcess {
  readonly pid: number | undefined;
  readonly startedAt: Date;
  /** How it ended; never rejects. */
  readonly ended: Promise<V1ContainerStateTerminated>;
  /** SIGTERM to the process, SIGKILL to all of its group `graceMs` later. */
  stop(graceMs: number): void;
  kill(): void;
}

/** Exit code where the program can't be started, as a shell says it. */
const notFound = 127;

/** Starts `argv` with exactly these variables. */
export function startContainer(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  cwd: string,
  log: ContainerLog,
): ContainerProcess {
  const startedAt = new Date();
  const [program = '', ...args] = argv;
  const child = spawn(program, args, {
    cwd,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => log.write('stdout', text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => log.write('stderr', text));
  let killTimer: NodeJS.Timeout | undefined;
  let deadlineMs = Infinity;
  const ended = new Promise<V1ContainerStateTerminated>((resolve) => {
    const end = (exitCode: number, reason: string, message?: string): void => {
      clearTimeout(killTimer);
      log.end();
      const said = message === undefined ? {} : { message };
      resolve({ exitCode, reason, startedAt, finishedAt: new Date(), ...said });
    };
    child.once('error', (error) => end(notFound, 'ContainerCannotRun', error.message));
    // At "close" all output was read; what the process left behind of its group ends with it.
    child.once('exit', () => killGroup(child.pid));
    child.once('close', (code, signal) => {
      const exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
      end(exitCode, exitCode === 0 ? 'Completed' : 'Error');
    });
  });
  const kill = (): void => killGroup(child.pid);
  const isUp = (): boolean => child.exitCode === null && child.signalCode === null;
  return {
    pid: child.pid,
    startedAt,
    ended,
    stop(graceMs) {
      if (!isUp()) return;
      if (killTimer === undefined) child.kill('SIGTERM');
      const wantedMs = performance.now() + graceMs;
      if (wantedMs >= deadlineMs) return;
      deadlineMs = wantedMs;
      clearTimeout(killTimer);
      killTimer = setTimeout(kill, graceMs);
    },
    kill,
  };
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
}

/** How a container is started. */
export interface Start extends Probed {
  readonly argv: readonly string[];
}

/** What a container needs of its pod. */
export interface Surroundings {
  /** Command line and variables; rejects as long as an object it refers to is missing. */
  start(container: V1Container): Promise<Start>;
  /** Called after each change of the status. */
  onChange(): void;
}

/** How long a start is put off whose objects are missing. */
const retryMs = 500;

export class ContainerRunner {
  readonly log: ContainerLog = createContainerLog();
  readonly #container: V1Container;
  readonly #around: Surroundings;
  #process: ContainerProcess | undefined;
  #state: V1ContainerState = { waiting: { reason: 'ContainerCreating' } };
  #isReady = false;
  readonly #stopping = new AbortController();

  constructor(container: V1Container, around: Surroundings) {
    this.#container = container;
    this.#around = around;
  }

  get name(): string {
    return this.#container.name;
  }

  get pid(): number | undefined {
    return this.#state.running === undefined ? undefined : this.#process?.pid;
  }

  get exitCode(): number | undefined {
    return this.#state.terminated?.exitCode;
  }

  status(): V1ContainerStatus {
    return {
      ...{ name: this.name, image: this.#container.image ?? '', imageID: '', restartCount: 0 },
      ...{ ready: this.#isReady, started: this.pid !== undefined, state: this.#state },
    };
  }

  /** Runs it to its end. */
  async run(): Promise<void> {
    const start = await this.#startable();
    if (start === undefined) return;
    const running = startContainer(start.argv, start.env, start.cwd, this.log);
    this.#process = running;
    this.#set({ running: { startedAt: running.startedAt } });
    const { readinessProbe } = this.#container;
    const ready = (isGood: boolean): void => {
      this.#isReady = isGood;
      this.#around.onChange();
    };
    let stopProbe = (): void => undefined;
    if (readinessProbe === undefined) ready(true);
    else stopProbe = startProbe(readinessProbe, start, ready);
    const terminated = await running.ended;
    stopProbe();
    this.#isReady = false;
    this.#set({ terminated });
  }

  /** Asks it to end within `graceMs`; a later, shorter wish counts. */
  stop(graceMs: number): void {
    this.#stopping.abort();
    this.#process?.stop(graceMs);
  }

  /** Ends it without asking. */
  kill(): void {
    this.#stopping.abort();
    this.#process?.kill();
  }

  async #startable(): Promise<Start | undefined> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        const start = await this.#around.start(this.#container);
        return signal.aborted ? undefined : start;
      } catch (error) {
        const message = messageOf(error);
        this.#set({ waiting: { reason: 'CreateContainerConfigError', message } });
        await sleep(retryMs, undefined, { signal }).catch(() => undefined);
      }
    }
    return undefined;
  }

  #set(state: V1ContainerState): void {
    this.#state = state;
    this.#around.onChange();
  }
}
