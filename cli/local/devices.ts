// `--devices` of the commands that compute: how many devices one process drives side by side.

import { OperatorError, type Problem } from '../../shared/problems.js';
import type { DeviceCount } from '../../shared/spec/engines.js';
import { wordOption } from '../options.js';

/** More than any machine has; a list of micro-shards under way is as long. */
const mostDevices = 64;

/** What `all` is on large nodes. */
const usualDevices = 8;

/** The option. */
export const devicesOption = wordOption(
  'all, or a number: devices that one worker drives, with engine.name xla',
  { default: '1' },
);

/** What `--devices` says; throws OperatorError when it is no number of devices. */
export function parseDevices(given: string): DeviceCount {
  if (given === 'all') return 'all';
  const count = Number(given);
  if (/^\d+$/.test(given) && count >= 1 && count <= mostDevices) return count;
  throw new OperatorError('these devices can not be used', [
    { key: '--devices', given, allowed: `all, or a number from 1 to ${mostDevices}` },
  ]);
}

/** With `--gpus` each worker is given one GPU. */
export function devicesBesideGpus(given: string): Problem {
  const hint = 'leave --gpus out for one worker on several devices';
  return { key: '--devices', given, allowed: '1 with --gpus, a worker for each GPU', hint };
}

/**
 * Variables for a process that drives so many devices. It waits for each on a thread of libuv's
 * pool, of which there are four, and files and pictures need some as well.
 */
export function deviceVariables(devices: DeviceCount): Readonly<Record<string, string>> {
  const count = devices === 'all' ? usualDevices : devices;
  return count <= 2 ? {} : { UV_THREADPOOL_SIZE: String(4 + 2 * count) };
}
