// `lockstep worker --gpus`: one worker process a GPU, since TensorFlow and CUDA serve one device a
// process best. Starts again what dies, passes a stop on, and ends when all have left.

import { setTimeout } from 'node:timers/promises';
import { exitCodes } from '../../shared/exit-codes.js';
import { createChildren, type Child } from '../local/child-processes.js';
import { afterWorker, how, type Departure } from '../local/restart-policy.js';

export interface GpuWorkersOptions {
  /** Values for CUDA_VISIBLE_DEVICES, one a worker. */
  readonly devices: readonly string[];
  /** Arguments of `lockstep worker` for the worker of the device at `index`. */
  argumentsOf(device: string, index: number): readonly string[];
  /** How many processes that die are started again, in all. */
  readonly restarts: number;
  readonly onNotice: (text: string) => void;
  readonly stop: AbortSignal;
}

/** Runs the workers until all have left for good; resolves with the exit code that tells most. */
export async function runGpuWorkers(options: GpuWorkersOptions): Promise<number> {
  const { devices, onNotice, stop } = options;
  const children = createChildren(onNotice);
  const running = new Map<string, Child>();
  let restartsLeft = options.restarts;
  const askToStop = (): void => running.forEach((child) => child.kill('SIGTERM'));
  const start = (device: string, index: number): Promise<Departure> => {
    const child = children.start(options.argumentsOf(device, index));
    running.set(device, child);
    return child.left.finally(() => running.delete(device));
  };
  const keepRunning = async (device: string, index: number): Promise<Departure> => {
    for (let quickDeaths = 0; ; restartsLeft -= 1) {
      const startedMs = performance.now();
      const departure = await start(device, index);
      const ageMs = performance.now() - startedMs;
      const verdict = afterWorker(departure, { ageMs, quickDeaths, restartsLeft });
      // What is wrong with the run or the machine is wrong for all of them.
      if (departure.code === exitCodes.configuration) askToStop();
      if (verdict.kind !== 'restart' || stop.aborted) return departure;
      await wait(verdict.delayMs, stop);
      if (stop.aborted) return departure;
      onNotice(`the worker of GPU ${device} ${how(departure)}; started again`);
      quickDeaths = verdict.quickDeaths;
    }
  };
  stop.addEventListener('abort', askToStop);
  const departures = await Promise.all(devices.map(keepRunning));
  stop.removeEventListener('abort', askToStop);
  return worstOf(departures.map(({ code }) => code ?? exitCodes.failed));
}

/** A mistake of the operator's before any other failure; 0 when all went well. */
function worstOf(codes: readonly number[]): number {
  if (codes.includes(exitCodes.configuration)) return exitCodes.configuration;
  return codes.find((code) => code !== exitCodes.ok) ?? exitCodes.ok;
}

/** Resolves after `ms`, or when a stop is asked for. */
async function wait(ms: number, stop: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, { signal: stop }).catch(() => undefined);
}
