// `lockstep status`: where a run is. A run's coordinator is asked, or the cluster that it is in.

import type { CommandModule } from 'yargs';
import type { RunStatus, RunWorker } from '../../shared/control/admin.js';
import { withControlOptions, withRunControl, type ControlArguments } from '../run-control.js';
import { readRunRecord } from '../../shared/spec/record.js';
import type { StepExchange } from '../../worker/training/exchanged-bytes.js';
import { withCluster } from '../kubernetes/cluster-access.js';
import { isClusterRun, parseClusterRun } from '../kubernetes/names.js';
import {
  clusterStatusJson,
  clusterStatusLines,
  memberRows,
  podRows,
  readClusterStatus,
} from '../kubernetes/status.js';
import { printJson, printLine, printTable, type Row } from '../output.js';
import { formatDuration } from '../progress.js';
import { runUrl, withStore } from '../stores.js';

export const statusCommand: CommandModule<object, ControlArguments> = {
  command: 'status <run>',
  describe: 'Say where a run is: its world, step, time left, checkpoint, and each worker',
  builder: (y) =>
    withControlOptions(y)
      .example('$0 status tiny-20261124-190000', 'a run that lockstep train runs here')
      .example('$0 status s3://bucket/runs/faces --json', 'one JSON object, for scripts')
      .example('$0 status k8s://training/faces', 'a run in a cluster'),
  handler: async (args) => {
    if (isClusterRun(args.run)) return clusterStatus(args);
    const status = await withRunControl(args, async (_client, found) => found);
    const exchange =
      args.coordinator === undefined ? await exchangeOfRun(args.run, status.step) : undefined;
    if (args.json) return printJson(statusJson(status, exchange));
    statusLines(status, exchange).forEach(printLine);
    if (status.workers.length > 0) printTable(workerRows(status));
  },
};

async function clusterStatus(args: ControlArguments): Promise<void> {
  const run = parseClusterRun(args.run);
  const status = await withCluster(args, (client) => readClusterStatus(client, run));
  if (args.json) return printJson(clusterStatusJson(status));
  clusterStatusLines(status).forEach(printLine);
  for (const rows of [memberRows(status), podRows(status)]) if (rows.length > 0) printTable(rows);
}

/** What the steps of now exchange; undefined where the run's record does not tell it. */
async function exchangeOfRun(run: string, step: number): Promise<StepExchange | undefined> {
  try {
    const record = await withStore(runUrl(run), readRunRecord);
    if (record === undefined) return undefined;
    // Imported here, since tensors take long to load.
    const { exchangeAfter } = await import('../../worker/training/exchanged-bytes.js');
    return exchangeAfter(record.spec, step);
  } catch {
    // It is one line of many.
    return undefined;
  }
}

/** What is said above the table of workers. */
export function statusLines(status: RunStatus, exchange?: StepExchange): string[] {
  const members = status.workers.filter(({ rank }) => rank >= 0).length;
  const why = status.reason === '' ? '' : `: ${status.reason}`;
  const left = status.etaS > 0 ? `, ${formatDuration(status.etaS)} left` : '';
  const rate = status.imagesPerS > 0 ? `, ${status.imagesPerS} images/s` : '';
  const halt = status.until === status.lastStep ? '' : `, halts after ${status.until}`;
  const saved = status.checkpoint === 0 ? 'none yet' : `step ${status.checkpoint}`;
  return [
    `run ${status.run} in ${status.url}`,
    `${status.stage}${why}`,
    `step ${status.step} of ${status.lastStep}${halt}${rate}${left}`,
    `world ${members} of ${status.target} workers, generation ${status.generation}`,
    `checkpoint ${saved}`,
    `coordinator term ${status.term}, pid ${status.coordinatorPid}`,
    ...(exchange === undefined ? [] : [exchangeLine(exchange)]),
    ...(status.health ? [status.health] : []),
    ...(status.certificate ? [status.certificate] : []),
    ...stragglerLines(status),
    ...linkLines(status),
  ];
}

function exchangeLine({ precision, bytes, summed_bytes, factored }: StepExchange): string {
  const mib = (count: number): string => `${(count / 2 ** 20).toFixed(1)} MiB`;
  const saved = `, which saves ${mib(summed_bytes - bytes)}`;
  const factors = factored.length === 0 ? '' : `; factored ${factored.join(', ')}${saved}`;
  return `exchange ${precision}, ${mib(bytes)} a step${factors}`;
}

function stragglerLines({ straggler }: RunStatus): string[] {
  if (straggler === undefined) return [];
  const { worker, phase, excessS } = straggler;
  return [`slowest ${worker}, in ${phase}: ${excessS.toFixed(3)} s a step more than the others`];
}

/** The slowest of the links that workers wait for. */
function linkLines({ workers }: RunStatus): string[] {
  const waiting = workers
    .filter(({ rank, pace }) => rank >= 0 && pace.slowLink !== undefined)
    .sort((a, b) => (a.pace.linkBytesPerS ?? 0) - (b.pace.linkBytesPerS ?? 0));
  const [slowest] = waiting;
  if (slowest === undefined) return [];
  const { slowLink, linkBytesPerS = 0 } = slowest.pace;
  const rate = `${(linkBytesPerS / 2 ** 20).toFixed(2)} MiB/s`;
  const more = waiting.length - 1;
  const others =
    more === 0 ? '' : `, and ${more} more ${more === 1 ? 'waits for its own' : 'wait for theirs'}`;
  return [
    `link from ${slowLink} to ${slowest.worker}: ${rate}, the exchange waits for it${others}`,
  ];
}

/** A row for each worker, under a heading. Seconds and bytes are those of the last step. */
export function workerRows({ workers, straggler }: RunStatus): Row[] {
  const heading = ['rank', 'worker', 'stage', 'step', 'does', 'silent s'];
  const seconds = ['data s', 'compute s', 'exchange s', 'update s', 'sent MiB'];
  return [
    [...heading, ...seconds, 'pid', 'host', ''],
    ...workers.map((one) => [
      one.rank < 0 ? '-' : one.rank,
      one.worker,
      one.isConnected ? one.stage : `${one.stage}, away`,
      one.step,
      one.activity,
      one.silentS.toFixed(1).padStart(8),
      ...paceCells(one),
      one.pid,
      one.host,
      one.worker === straggler?.worker ? `slow in ${straggler.phase}` : '',
    ]),
  ];
}

function paceCells({ pace }: RunWorker): string[] {
  const { dataS, computeS, exchangeS, updateS, sentBytes } = pace;
  const widths = [6, 9, 10, 8];
  const cells = [dataS, computeS, exchangeS, updateS].map((value, i) =>
    value.toFixed(3).padStart(widths[i] ?? 0),
  );
  return [...cells, (sentBytes / 2 ** 20).toFixed(1).padStart(8)];
}

/** The status with the names that all JSON lines of Lockstep have. */
export function statusJson(status: RunStatus, exchange?: StepExchange): object {
  const { lastStep, imagesPerS, etaS, coordinatorPid, workers, straggler, ...rest } = status;
  return {
    ...rest,
    last_step: lastStep,
    images_per_s: imagesPerS,
    eta_s: etaS,
    coordinator_pid: coordinatorPid,
    world: workers.filter(({ rank }) => rank >= 0).length,
    straggler: straggler && {
      ...{ worker: straggler.worker, phase: straggler.phase },
      excess_s: straggler.excessS,
    },
    exchange: exchange ?? null,
    workers: workers.map(workerJson),
  };
}

function workerJson({ rank, isConnected, silentS, pace, ...rest }: RunWorker): object {
  const { dataS, computeS, exchangeS, updateS, waitedFor, waitedS } = pace;
  return {
    ...rest,
    rank: rank < 0 ? null : rank,
    connected: isConnected,
    silent_s: silentS,
    seconds: { data: dataS, compute: computeS, exchange: exchangeS, update: updateS },
    waited_for: waitedFor === '' ? null : { worker: waitedFor, seconds: waitedS },
    sent_bytes: pace.sentBytes,
    received_bytes: pace.receivedBytes,
    slow_link:
      pace.slowLink === undefined
        ? null
        : { peer: pace.slowLink, bytes_per_s: Math.round(pace.linkBytesPerS ?? 0) },
  };
}
