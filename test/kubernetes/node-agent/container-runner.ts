// One container of a pod over all its starts: probes, restarts by the pod's policy with a growing
// pause, and its status. Asks `Surroundings` for what belongs to the pod.

import type { V1Container, V1ContainerState, V1ContainerStatus } from '@kubernetes/client-node';
import { createContainerLog, type ContainerLog } from './container-log.js';
import { startContainer, type ContainerProcess } from './container-process.js';
import { startProbe, type Probed } from './probes.js';

/** How a container is started. */
export interface Start extends Probed {
  readonly argv: readonly string[];
}

/** What a container needs of its pod. */
export interface Surroundings {
  /** "Always", "OnFailure" or "Never". */
  readonly restartPolicy: string;
  readonly graceMs: number;
  /** Command line and variables; rejects as long as an object it refers to is missing. */
  start(container: V1Container): Promise<Start>;
  /** Called after each change of the status. */
  onChange(): void;
}

/** How long a start is put off whose objects are missing. */
const retryMs = 500;
/** Pause before a restart, doubled with each. */
const backoffMs = { first: 1_000, longest: 10_000 };

export class ContainerRunner {
  log: ContainerLog = createContainerLog();
  readonly #container: V1Container;
  readonly #around: Surroundings;
  #process: ContainerProcess | undefined;
  #state: V1ContainerState = { waiting: { reason: 'ContainerCreating' } };
  #lastState: V1ContainerState = {};
  #restarts = 0;
  #isStarted = false;
  #isReady = false;
  #isStopping = false;
  #wake: (() => void) | undefined;

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
      name: this.#container.name,
      image: this.#container.image ?? '',
      imageID: '',
      ready: this.#isReady,
      started: this.#isStarted,
      restartCount: this.#restarts,
      state: this.#state,
      lastState: this.#lastState,
    };
  }

  /** Runs it until it ends for good: by its policy, or because it is stopped. */
  async run(): Promise<void> {
    for (let pauseMs = backoffMs.first; ; pauseMs = Math.min(pauseMs * 2, backoffMs.longest)) {
      const start = await this.#startable();
      if (start === undefined) return;
      await this.#runOnce(start);
      const { restartPolicy } = this.#around;
      const isWanted =
        restartPolicy === 'Always' || (restartPolicy === 'OnFailure' && this.exitCode !== 0);
      if (this.#isStopping || !isWanted) return;
      const ended = this.#state;
      this.#lastState = ended;
      this.#set({ waiting: { reason: 'CrashLoopBackOff' } });
      await this.#pause(pauseMs);
      if (this.#isStopping) return this.#set(ended);
      this.#restarts += 1;
    }
  }

  /** Asks it to end within `graceMs`; a later, shorter wish counts. */
  stop(graceMs: number): void {
    this.#isStopping = true;
    this.#wake?.();
    this.#process?.stop(graceMs);
  }

  /** Ends it without asking. */
  kill(): void {
    this.#isStopping = true;
    this.#wake?.();
    this.#process?.kill();
  }

  async #startable(): Promise<Start | undefined> {
    while (!this.#isStopping) {
      try {
        return await this.#around.start(this.#container);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.#set({ waiting: { reason: 'CreateContainerConfigError', message } });
        await this.#pause(retryMs);
      }
    }
    return undefined;
  }

  async #runOnce(start: Start): Promise<void> {
    if (this.#isStopping) return;
    this.log = createContainerLog();
    const running = startContainer(start.argv, start.env, start.cwd, this.log);
    this.#process = running;
    this.#set({ running: { startedAt: running.startedAt } });
    const stopProbes = this.#probe(start, running);
    const terminated = await running.ended;
    stopProbes();
    this.#isReady = this.#isStarted = false;
    this.#set({ terminated });
  }

  #probe(start: Start, running: ContainerProcess): () => void {
    const { startupProbe, livenessProbe, readinessProbe } = this.#container;
    const stops: (() => void)[] = [];
    const restart = (isGood: boolean): void => {
      if (!isGood) running.stop(this.#around.graceMs);
    };
    const started = (): void => {
      if (this.#isStarted) return;
      this.#isStarted = true;
      const ready = (isGood: boolean): void => {
        this.#isReady = isGood;
        this.#around.onChange();
      };
      if (readinessProbe === undefined) ready(true);
      else stops.push(startProbe(readinessProbe, start, ready));
      if (livenessProbe !== undefined) stops.push(startProbe(livenessProbe, start, restart));
    };
    if (startupProbe === undefined) started();
    else
      stops.push(
        startProbe(startupProbe, start, (isGood) => (isGood ? started() : restart(false))),
      );
    return () => stops.forEach((stop) => stop());
  }

  #set(state: V1ContainerState): void {
    this.#state = state;
    this.#around.onChange();
  }

  /** Waits, or less when it is stopped. */
  #pause(ms: number): Promise<void> {
    if (this.#isStopping) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
