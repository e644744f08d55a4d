// `lockstep trace`: the next steps of a run that goes on, of all its workers, as a file that
// Perfetto opens.

import { once } from 'node:events';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { CommandModule } from 'yargs';
import { createPartialFile, outputProblem, writing } from '../../inference/output-file.js';
import { AdminError, createAdminClient, type AdminClient } from '../../shared/control/admin.js';
import {
  maxTracedSteps,
  type StepSpan,
  type TraceEnded,
  type TraceReply,
  type TraceStarted,
} from '../../shared/control/tracing.js';
import { readEnvironment } from '../../shared/environment.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { OperatorError, messageOf } from '../../shared/problems.js';
import {
  chromeTrace,
  chromeTraceLines,
  type TakenTrace,
  type TracedPart,
  type TraceSummary,
} from '../../watch/step-trace/chrome-trace.js';
import { CommandFailed } from '../failure.js';
import { stopWhenInterrupted } from '../interruptions.js';
import { withCluster } from '../kubernetes/cluster-access.js';
import { findLeaderPod } from '../kubernetes/leader-pod.js';
import { isClusterRun, parseClusterRun, ports } from '../kubernetes/names.js';
import { amountOption, dashWord, flagOption, wordOption } from '../options.js';
import { printJson, printNote } from '../output.js';
import { createProgress, progressMode } from '../progress.js';
import { withControlOptions, withRunControl, type ControlArguments } from '../run-control.js';

type TraceArguments = ControlArguments & {
  readonly steps: number;
  readonly out: string;
  readonly force: boolean;
};

export const traceCommand: CommandModule<object, TraceArguments> = {
  command: 'trace <run>',
  describe: 'Trace the next steps of all workers of a run, for Perfetto',
  builder: (y) =>
    withControlOptions(y)
      .option('steps', amountOption(`Steps, from 1 to ${maxTracedSteps}`, { default: 5 }))
      .option('out', wordOption('File to write; "-" is stdout', { default: 'trace.json' }))
      .option('force', flagOption('Replace a file that is there'))
      .example('$0 trace tiny-20261124-190000 --steps 5', 'open trace.json at ui.perfetto.dev')
      .example('$0 trace k8s://training/faces --out faces.json', 'of a run in a cluster'),
  handler: async (args) => {
    const out = args.out === dashWord ? '-' : args.out;
    const place = { path: resolve(out), isForced: args.force, key: '--out' };
    const problem = out === '-' ? undefined : await outputProblem(place);
    if (problem !== undefined) throw new OperatorError('the trace can not be written', [problem]);
    const stop = stopWhenInterrupted();
    // A trace that can't be written is not taken.
    const file = out === '-' ? undefined : await createPartialFile(place);
    try {
      const taken = isClusterRun(args.run)
        ? await traceInCluster(args, stop)
        : await withRunControl(args, (client) => takeTrace(client, args, stop));
      const { summary, events } = chromeTrace(taken);
      const lines = chromeTraceLines(summary, events);
      if (file === undefined) await print(lines);
      else {
        await writing(place, () => pipeline(Readable.from(lines), file.handle.createWriteStream()));
        await file.publish();
      }
      if (!args.json) summaryLines(summary, out).forEach(printNote);
      else if (out !== '-') printJson({ file: place.path, ...summary });
    } finally {
      await file?.handle.close();
      await file?.discard();
    }
  },
};

/** Asks the leading pod, through a way that the API server opens to it. */
async function traceInCluster(args: TraceArguments, stop: AbortSignal): Promise<TakenTrace> {
  const run = parseClusterRun(args.run);
  const pod = await withCluster(args, (client) => findLeaderPod(client, run));
  if (pod === undefined)
    throw new CommandFailed(
      `no coordinator of ${args.run} leads`,
      exitCodes.failed,
      `See what its pods do: lockstep status ${args.run}`,
    );
  // The library is large, and other runs are traced without it.
  const { loadCluster } = await import('../../shared/kubernetes/api-server.js');
  const { forwardPort } = await import('../kubernetes/client/port-forward.js');
  const target = { namespace: run.namespace, pod, port: ports.control };
  const way = await forwardPort(loadCluster({ context: args.context }), target);
  const client = createAdminClient(`127.0.0.1:${way.localPort}`);
  try {
    return await takeTrace(client, args, stop);
  } finally {
    client.close();
    await way.close();
  }
}

/** Asks for the trace and shows how far it is. What came before it broke off is a trace as well. */
async function takeTrace(
  client: AdminClient,
  { steps, json }: TraceArguments,
  stop: AbortSignal,
): Promise<TakenTrace> {
  let started: TraceStarted | undefined;
  let ended: TraceEnded = { kind: 'traceEnded', workers: [] };
  let count = 0;
  const spans = new Map<string, StepSpan[]>();
  const progress = createProgress({
    ...{ label: 'trace', total: steps },
    mode: progressMode(json, readEnvironment().isPlain),
  });
  const onReply = (reply: TraceReply): void => {
    if (reply.kind === 'traceStarted') started = reply;
    else if (reply.kind === 'traceEnded') ended = reply;
    else {
      const own = spans.get(reply.worker) ?? [];
      spans.set(reply.worker, own);
      own.push(...reply.spans);
      count += reply.spans.length;
      progress.update(stepsDone(spans), `${count} spans`);
    }
  };
  try {
    await client.trace(steps, onReply, stop);
  } catch (error) {
    if (started === undefined || count === 0 || !(error instanceof AdminError)) throw error;
    progress.print(`the trace was broken off: ${messageOf(error)}`);
  } finally {
    progress.close();
  }
  if (started === undefined)
    throw new CommandFailed('the trace ended before it began', exitCodes.failed);
  return { started, ended, spans };
}

/** Steps that all workers which have sent anything have behind them. */
function stepsDone(spans: ReadonlyMap<string, readonly StepSpan[]>): number {
  const done = [...spans.values()].map(
    (own) => own.filter(({ name, thread }) => name === 'step' && thread === 'compute').length,
  );
  return Math.min(...done);
}

async function print(lines: Iterable<string>): Promise<void> {
  for (const line of lines) if (!process.stdout.write(line)) await once(process.stdout, 'drain');
}

/** What a person reads of a trace that was written. */
export function summaryLines(summary: TraceSummary, out: string): string[] {
  const { first_step: first, steps, workers } = summary;
  const which = steps === 1 ? `step ${first}` : `steps ${first} to ${first + steps - 1}`;
  const spans = workers.reduce((sum, part) => sum + part.spans, 0);
  const where = out === '-' ? '' : `${out}: `;
  return [
    `${where}${which} of ${workers.length} workers, ${spans} spans`,
    ...workers.map(partLine),
    ...(out === '-' ? [] : ['open it at https://ui.perfetto.dev, which reads it in the browser']),
  ];
}

function partLine({ worker, rank, clock_error_ms, dropped, trouble }: TracedPart): string {
  const clock =
    clock_error_ms === null
      ? 'its clock could not be compared: its times are its own'
      : `its times are right within ${clock_error_ms} ms`;
  const lost = dropped === 0 ? '' : `; ${dropped} spans had no room`;
  return `  rank ${rank}, ${worker}: ${clock}${lost}${trouble === '' ? '' : `; ${trouble}`}`;
}
