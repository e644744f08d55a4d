// `--lanes` of the commands that start workers: threads that a worker's exchange has.

import { maxLanes } from '../../shared/control/messages.js';
import type { NumberRanges } from '../number-ranges.js';
import { amountOption } from '../options.js';

/** A lane moves about 1 GiB a second, and few networks bring four. */
const mostUsualLanes = 4;
const coresForALane = 4;

/** The option. */
export const lanesOption = amountOption(
  'threads of the exchange; a worker listens at so many ports in a row, and a world uses as many ' +
    'lanes as all of its workers have',
  {
    defaultDescription:
      'one; with port 0, one more for every 4 cores that compute leaves free, up to 4',
  },
);

/** The range of the option. */
export function lanesRange(lanes: number | undefined): NumberRanges {
  return { '--lanes': [lanes, 1, maxLanes] };
}

/**
 * Lanes of a worker that listens at this port and has so many cores, of which so many compute. A
 * port that somebody chose is one: the ports behind it may be others', or closed by a firewall.
 */
export function usualLanes(port: number, cores: number, computing: number): number {
  if (port !== 0) return 1;
  const free = Math.max(0, cores - computing);
  return Math.min(mostUsualLanes, 1 + Math.floor(free / coresForALane));
}
