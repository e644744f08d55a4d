// The second half of `lockstep launch` and `lockstep resume`: reports what was done, then waits for
// the end of the run, shows how far it is, and reports how it ended. A run does not need this.

import type { V1Job, V1Lease, V1Pod } from '@kubernetes/client-node';
import { readEnvironment } from '../../shared/environment.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { stopOnSignals } from '../processes.js';
import { CommandFailed } from '../failure.js';
import { printJson, printLine, printNote } from '../output.js';
import { createProgress, progressMode, type Progress, type ProgressMode } from '../progress.js';
import type { ClusterClient } from './client/cluster-client.js';
import { podLog, watchObjects, type WatchTarget } from './client/streams.js';
import type { Launched } from './launch.js';
import { formatClusterRun, labelSelector, objectNames, type ClusterRun } from './names.js';
import { failedExitCode, runStage, type JobsAndLease, type RunStage } from './run-state.js';

export interface WaitOptions {
  readonly detach: boolean;
  readonly json: boolean;
}

const words: Readonly<Record<Launched['action'], string>> = {
  created: 'is launched',
  resumed: 'goes on from its newest checkpoint',
  running: 'was launched before and goes on',
  finished: 'has finished before',
};

/** Tells what a launch came to; waits for the end of the run. */
export async function waitForRun(
  client: ClusterClient,
  { action, parameters }: Launched,
  { detach, json }: WaitOptions,
): Promise<void> {
  const run = formatClusterRun(parameters);
  const { workers, runUrl: url } = parameters;
  if (json) printJson({ kind: 'launched', run, url, action, workers });
  else printNote(`${run} ${words[action]}, with ${workers} workers, in ${url}`);
  if (detach) return json ? undefined : printLine(run);
  const stop = stopOnSignals(() => undefined);
  const { isPlain } = readEnvironment();
  const view = createFollowView(progressMode(json, isPlain), printNote);
  const end = await followRun(client, parameters, (stage) => view.show(stage), stop);
  view.close();
  if (end === undefined) return leave(run);
  await tellEnd(client, { action, parameters }, end, json);
}

/** Nobody needs to wait for a run. */
function leave(run: string): void {
  printNote(`not waiting any more; the run goes on: lockstep status ${run}`);
  process.exitCode = 130;
}

async function tellEnd(
  client: ClusterClient,
  { parameters }: Launched,
  end: RunStage,
  isJson: boolean,
): Promise<void> {
  const run = formatClusterRun(parameters);
  const { runUrl: url } = parameters;
  if (end.kind !== 'finished') {
    const exitCode = end.kind === 'failed' ? failedExitCode(end.reason) : exitCodes.stopped;
    const { step = 0, result } = end.progress ?? {};
    const line = { kind: 'failed', run, url, step, sha256: result?.sha256 ?? '' };
    if (isJson) printJson({ ...line, reason: end.reason, exit_code: exitCode });
    throw new CommandFailed(`${run} ${end.kind}: ${end.reason}`, exitCode, hintFor(end, run));
  }
  const { step, sha256 } = await readResult(client, parameters, end);
  if (isJson)
    return printJson({
      kind: 'finished',
      run,
      url,
      step,
      sha256,
      exit_code: exitCodes.ok,
    });
  printLine(`finished: ${end.reason || `step ${step}`}`);
  printLine(`parameters sha256 ${sha256 || '(not told)'}`);
  printLine(`export it with: lockstep export ${url} --format onnx --out model`);
}

function hintFor({ kind }: RunStage, run: string): string {
  if (kind === 'gone') return 'It was cancelled. Launched again, it goes on from its checkpoint.';
  return `See why: lockstep logs ${run}\nGo on with it: lockstep resume ${run}`;
}

/** Calls `onStage` at each change; resolves with the last stage, or undefined once aborted. */
export async function followRun(
  client: ClusterClient,
  run: ClusterRun,
  onStage: (stage: RunStage) => void,
  signal: AbortSignal,
): Promise<RunStage | undefined> {
  const names = objectNames(run.name);
  const ended = new AbortController();
  const both = AbortSignal.any([ended.signal, signal]);
  let facts: Partial<JobsAndLease> = {};
  let last: RunStage | undefined;
  const learn = (more: Partial<JobsAndLease>): void => {
    facts = { ...facts, ...more };
    const { coordinator, worker, lease } = facts;
    if (both.aborted || !('coordinator' in facts) || !('lease' in facts)) return;
    last = runStage({ coordinator, worker, lease });
    onStage(last);
    if (['finished', 'failed', 'gone'].includes(last.kind)) ended.abort();
  };
  const watch = <T extends object>(
    target: WatchTarget,
    use: (found: ReadonlyMap<string, T>) => void,
  ) =>
    eachChange<T>(client, target, both, use).catch((error: unknown) => {
      ended.abort();
      throw error;
    });
  const { namespace, name } = run;
  const ofRun = { labelSelector: labelSelector(name) };
  await Promise.all([
    watch<V1Job>({ kind: 'Job', namespace, selection: ofRun }, (found) =>
      learn({ coordinator: found.get(names.coordinator), worker: found.get(names.worker) }),
    ),
    watch<V1Lease>(
      { kind: 'Lease', namespace, selection: { fieldSelector: `metadata.name=${names.lease}` } },
      (found) => learn({ lease: found.get(names.lease) }),
    ),
  ]);
  if (signal.aborted && !ended.signal.aborted) return undefined;
  // What the leader wrote last may have been on its way still.
  const lease = await client.get<V1Lease>('Lease', namespace, names.lease);
  return last && runStage({ coordinator: undefined, worker: undefined, ...facts, lease });
}

async function eachChange<T extends object>(
  client: ClusterClient,
  target: WatchTarget,
  signal: AbortSignal,
  use: (found: ReadonlyMap<string, T>) => void,
): Promise<void> {
  for await (const found of watchObjects<T>(client, target, signal)) use(found);
}

/** Shows a run that is followed: lines while it starts, then progress with the time left. */
export function createFollowView(mode: ProgressMode, say: (line: string) => void) {
  let progress: Progress | undefined;
  let said = '';
  const sayOnce = (line: string): void => {
    if (line !== said && mode !== 'silent') (progress?.print ?? say)(line);
    said = line;
  };
  return {
    show(stage: RunStage): void {
      const { kind, reason, progress: told } = stage;
      if (kind !== 'running' || told === undefined)
        return kind === 'queued' || kind === 'starting' ? sayOnce(`${kind}: ${reason}`) : undefined;
      progress ??= createProgress({
        ...{ label: 'train', total: told.until, start: told.step, mode, print: say },
      });
      if (told.reason !== '') sayOnce(`${told.stage}: ${told.reason}`);
      progress.update(told.step, noteOf(told));
    },
    close(): void {
      progress?.close();
    },
  };
}

function noteOf(told: NonNullable<RunStage['progress']>): string {
  const { phase, imagesPerSecond, world, target } = told;
  return [phase, `${imagesPerSecond} images/s`, `${world} of ${target} workers`]
    .filter((part) => part !== '')
    .join(', ');
}

export interface ClusterResult {
  readonly step: number;
  /** Of the parameters; empty where nobody has said it. */
  readonly sha256: string;
}

/** The result of a run that has finished. */
export async function readResult(
  client: ClusterClient,
  run: ClusterRun,
  { progress }: RunStage,
): Promise<ClusterResult> {
  const told = progress?.result;
  if (told?.kind === 'finished') return { step: told.step, sha256: told.sha256 };
  const selection = { labelSelector: labelSelector(run.name, 'coordinator') };
  const { items } = await client.list<V1Pod>('Pod', run.namespace, selection);
  for (const pod of items.filter(({ status }) => status?.phase === 'Succeeded')) {
    const found = await lastResult(client, run.namespace, pod.metadata?.name ?? '');
    if (found !== undefined) return found;
  }
  return { step: progress?.step ?? 0, sha256: '' };
}

async function lastResult(
  client: ClusterClient,
  namespace: string,
  pod: string,
): Promise<ClusterResult | undefined> {
  let found: ClusterResult | undefined;
  const request = { namespace, pod, container: 'coordinator', follow: false, tail: 20 };
  for await (const line of podLog(client, request)) found = parseResult(line) ?? found;
  return found;
}

/** The coordinator's last line under --json; undefined for any other. */
export function parseResult(line: string): ClusterResult | undefined {
  try {
    const { kind, step, sha256 } = JSON.parse(line) as Readonly<Record<string, unknown>>;
    if (kind !== 'finished') return undefined;
    return { step: Number(step), sha256: String(sha256) };
  } catch {
    return undefined;
  }
}
