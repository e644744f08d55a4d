// The GPUs of this machine, as NVIDIA's driver lists them and CUDA_VISIBLE_DEVICES restricts them,
// and `lockstep worker --gpus`: a worker process for each, since TensorFlow and CUDA serve one
// device a process best.

import { execFileSync, type StdioOptions } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { visibleDevices, type LogLevel } from '../../shared/environment.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { OperatorError } from '../../shared/problems.js';
import { createChildren, describeDeparture, type Child, type Departure } from '../processes.js';
import { afterWorker } from './restart-policy.js';

export interface Gpu {
  /** Number or UUID: a value for CUDA_VISIBLE_DEVICES. */
  readonly id: string;
  /** "NVIDIA H100 80GB HBM3"; empty when the driver does not say. */
  readonly name: string;
}

/** All GPUs that the driver lists; none where there is no driver. */
export function listGpus(): Gpu[] {
  return parseGpus(queryGpus('index,name'));
}

/** The series of NVIDIA's driver ("580.95.05" is 580); undefined where there is none. */
export function driverVersion(): number | undefined {
  const series = Number.parseInt(queryGpus('driver_version'), 10);
  return Number.isNaN(series) ? undefined : series;
}

/** What nvidia-smi prints of each GPU, a line each; nothing where there is none. */
function queryGpus(fields: string): string {
  try {
    const args = [`--query-gpu=${fields}`, '--format=csv,noheader'];
    const stdio: StdioOptions = ['ignore', 'pipe', 'ignore'];
    return execFileSync('nvidia-smi', args, { encoding: 'utf8', stdio, timeout: 20_000 });
  } catch {
    return '';
  }
}

/** Parses what nvidia-smi prints: "0, NVIDIA H100 80GB HBM3", a line a GPU. */
export function parseGpus(text: string): Gpu[] {
  return text
    .split('\n')
    .map((line) => /^\s*(\d+)\s*,\s*(.*?)\s*$/.exec(line))
    .filter((match) => match !== null)
    .map(([, id, name]) => ({ id: id ?? '', name: name ?? '' }));
}

/**
 * The devices that `--gpus` names: "all" or numbers (or UUIDs) with commas between them. Within
 * CUDA_VISIBLE_DEVICES, if that is set, which is how schedulers hand out GPUs.
 */
export function chooseDevices(asked: string, present: readonly Gpu[] = listGpus()): string[] {
  const allowed = visibleDevices() ?? present.map(({ id }) => id);
  const chosen = asked === 'all' ? allowed : asked.split(',').map((id) => id.trim());
  const unknown = chosen.filter((id) => !allowed.includes(id));
  const isTwice = new Set(chosen).size < chosen.length;
  if (chosen.length > 0 && unknown.length === 0 && !isTwice) return chosen;
  throw new OperatorError('these GPUs can not be used', [
    {
      key: '--gpus',
      given: asked,
      allowed:
        allowed.length > 0
          ? `all, or some of ${allowed.join(',')}, each once`
          : 'a machine with a GPU: nvidia-smi lists none here',
    },
  ]);
}

export interface GpuWorkersOptions {
  /** Values for CUDA_VISIBLE_DEVICES, one a worker. */
  readonly devices: readonly string[];
  /** Arguments of `lockstep worker` for the worker of the device at `index`. */
  argumentsOf(device: string, index: number): readonly string[];
  /** How many processes that die are started again, in all. */
  readonly restarts: number;
  readonly onNotice: (text: string) => void;
  readonly logLevel: LogLevel;
  readonly stop: AbortSignal;
}

/**
 * Runs the workers until all have left for good, and starts again what dies; resolves with the exit
 * code that says most.
 */
export async function runGpuWorkers(options: GpuWorkersOptions): Promise<number> {
  const { devices, onNotice, stop } = options;
  const children = createChildren(onNotice, options.logLevel);
  const running = new Map<string, Child>();
  let restartsLeft = options.restarts;
  const askToStop = (): void => running.forEach((child) => child.kill('SIGTERM'));
  const start = (device: string, index: number): Promise<Departure> => {
    const child = children.start(options.argumentsOf(device, index));
    running.set(device, child);
    return child.left.finally(() => running.delete(device));
  };
  const keepRunning = async (device: string, index: number): Promise<Departure> => {
    for (let quickDeaths = 0; ;) {
      const startedMs = performance.now();
      const departure = await start(device, index);
      const ageMs = performance.now() - startedMs;
      const verdict = afterWorker(departure, { ageMs, quickDeaths, restartsLeft });
      // What is wrong with the run or the machine is wrong for all of them.
      if (departure.code === exitCodes.configuration) askToStop();
      if (verdict.kind !== 'restart' || stop.aborted) return departure;
      await setTimeout(verdict.delayMs, undefined, { signal: stop }).catch(() => undefined);
      if (stop.aborted) return departure;
      if (verdict.isFree !== true) restartsLeft -= 1;
      onNotice(`the worker of GPU ${device} ${describeDeparture(departure)}; started again`);
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
