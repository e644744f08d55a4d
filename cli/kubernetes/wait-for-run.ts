// The second half of `lockstep launch` and `lockstep resume`: reports what was done, then waits for
// the end of the run, shows how far it is, and reports how it ended. A run does not need this.

import type { V1Job, V1Lease, V1Pod } from '@kubernetes/client-node';
import { setTimeout as sleep } from 'node:timers/promises';
import { readEnvironment } from '../../shared/environment.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { ClusterError } from '../../shared/kubernetes/refusal.js';
import { CommandFailed } from '../failure.js';
import { stopWhenInterrupted } from '../interruptions.js';
import { printJson, printLine, printNote } from '../output.js';
import { createProgress, progressMode, type Progress, type ProgressMode } from '../progress.js';
import type { ClusterClient } from './client/cluster-client.js';
import { podLog, watchObjects, type WatchTarget } from './client/streams.js';
import type { LaunchParameters } from './launch-parameters.js';
import type { Launched } from './launch.js';
import { formatClusterRun, labelSelector, objectNames, type ClusterRun } from './names.js';
import { readPods, troublesOf } from './pod-troubles.js';
import {
  failedExitCode,
  jobStage,
  runStage,
  type JobsAndLease,
  type RunStage,
} from './run-state.js';
import { parseJson } from '../../shared/bounded-json.js';

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

/** Reports what a launch came to; waits for the end of the run. */
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
  const stop = stopWhenInterrupted();
  const { isPlain } = readEnvironment();
  const view = createFollowView(progressMode(json, isPlain), printNote);
  const onTrouble = (reason: string): void => {
    if (json) printJson({ kind: 'trouble', run, reason });
    else view.say(reason);
  };
  const onStage = (stage: RunStage): void => view.show(stage);
  const end = await followRun(client, parameters, { onStage, onTrouble }, stop);
  view.close();
  if (end !== undefined) return reportEnd(client, parameters, end, json);
  printNote(`not waiting any more; the run goes on: lockstep status ${run}`);
  process.exitCode = exitCodes.interrupted;
}

async function reportEnd(
  client: ClusterClient,
  parameters: LaunchParameters,
  end: RunStage,
  isJson: boolean,
): Promise<void> {
  const run = formatClusterRun(parameters);
  const { runUrl: url } = parameters;
  if (end.kind !== 'finished') {
    const exitCode = end.kind === 'failed' ? failedExitCode(end) : exitCodes.stopped;
    const { step = 0, result } = end.progress ?? {};
    const line = { kind: 'failed', run, url, step, sha256: result?.sha256 ?? '' };
    if (isJson) printJson({ ...line, reason: end.reason, exit_code: exitCode });
    throw new CommandFailed(`${run} ${end.kind}: ${end.reason}`, exitCode, hintFor(end, run));
  }
  const { step, sha256 } = await readResult(client, parameters, end);
  const line = { kind: 'finished', run, url, step, sha256, exit_code: exitCodes.ok };
  if (isJson) return printJson(line);
  printLine(`finished: ${end.reason || `step ${step}`}`);
  printLine(`parameters sha256 ${sha256 || '(not told)'}`);
  printLine(`export it with: lockstep export ${url} --format onnx --out model`);
}

function hintFor({ kind }: RunStage, run: string): string {
  if (kind === 'gone') return 'It was cancelled. Launched again, it goes on from its checkpoint.';
  return `See why: lockstep logs ${run}\nGo on with it: lockstep resume ${run}`;
}

/** What is said of a run that is followed, and how soon. */
export interface FollowRunOptions {
  /** Called at each change. */
  readonly onStage: (stage: RunStage) => void;
  /** Called once for each thing that ails the run's pods. */
  readonly onTrouble?: (text: string) => void;
  /** How often the pods are looked at: while the run starts, and later. */
  readonly lookMs?: { readonly starting: number; readonly running: number };
  /** How long the Jobs may take to say what the leader has said: their pods may be lost. */
  readonly graceMs?: number;
}

const usualLookMs = { starting: 5_000, running: 30_000 };
const usualGraceMs = 30_000;
/** Troubles that are kept in mind, so that each is said once. */
const mostTroubles = 1_000;

/** Resolves with the last stage, or undefined once aborted. */
export async function followRun(
  client: ClusterClient,
  run: ClusterRun,
  { onStage, onTrouble, lookMs = usualLookMs, graceMs = usualGraceMs }: FollowRunOptions,
  signal: AbortSignal,
): Promise<RunStage | undefined> {
  const names = objectNames(run.name);
  const ended = new AbortController();
  const both = AbortSignal.any([ended.signal, signal]);
  let facts: Partial<JobsAndLease> = {};
  let last: RunStage | undefined;
  let grace: NodeJS.Timeout | undefined;
  const learn = (more: Partial<JobsAndLease>): void => {
    facts = { ...facts, ...more };
    const { coordinator, worker, lease } = facts;
    if (both.aborted || !('coordinator' in facts) || !('lease' in facts)) return;
    last = runStage({ coordinator, worker, lease });
    onStage(last);
    const isOver = ['finished', 'failed', 'gone'].includes(last.kind);
    const isEnding = last.kind === 'finished' || jobStage(worker) === 'complete';
    // A leader still stores what it has; but its node may be lost, or it may never say so.
    if (isOver && (last.kind !== 'finished' || jobStage(coordinator) === 'complete')) ended.abort();
    else if (isEnding) grace ??= setTimeout(() => ended.abort(), graceMs);
  };
  const orEnd = async (watching: Promise<void>): Promise<void> => {
    try {
      await watching;
    } catch (error) {
      ended.abort();
      throw error;
    }
  };
  const watch = async <T extends object>(
    target: WatchTarget,
    use: (found: ReadonlyMap<string, T>) => void,
  ): Promise<void> => {
    for await (const found of watchObjects<T>(client, target, both)) use(found);
  };
  const { namespace, name } = run;
  const ofRun = { labelSelector: labelSelector(name) };
  const ofLease = { fieldSelector: `metadata.name=${names.lease}` };
  const wait = (): number => (last?.kind === 'running' ? lookMs.running : lookMs.starting);
  try {
    await Promise.all([
      orEnd(
        watch<V1Job>({ kind: 'Job', namespace, selection: ofRun }, (found) =>
          learn({ coordinator: found.get(names.coordinator), worker: found.get(names.worker) }),
        ),
      ),
      orEnd(
        watch<V1Lease>({ kind: 'Lease', namespace, selection: ofLease }, (found) =>
          learn({ lease: found.get(names.lease) }),
        ),
      ),
      ...(onTrouble === undefined ? [] : [orEnd(watchPods(client, run, onTrouble, wait, both))]),
    ]);
  } finally {
    clearTimeout(grace);
  }
  if (signal.aborted && !ended.signal.aborted) return undefined;
  // What the leader wrote last may have been on its way still.
  const lease = await client.get<V1Lease>('Lease', namespace, names.lease);
  if (last === undefined) return undefined;
  const end = runStage({ coordinator: undefined, worker: undefined, ...facts, lease });
  // A worker that has left a finished run is word enough where nobody else has said it.
  return jobStage(facts.worker) === 'complete' && end.kind !== 'failed' && end.kind !== 'gone'
    ? { ...end, kind: 'finished' }
    : end;
}

/** Says once what ails the pods. */
async function watchPods(
  client: ClusterClient,
  run: ClusterRun,
  onTrouble: (text: string) => void,
  waitMs: () => number,
  signal: AbortSignal,
): Promise<void> {
  const told = new Set<string>();
  while (!signal.aborted) {
    await sleep(waitMs(), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    const { pods, events } = await readPods(client, run);
    for (const { key, text } of troublesOf(pods, events, Date.now())) {
      if (signal.aborted || told.has(key) || told.size >= mostTroubles) continue;
      told.add(key);
      onTrouble(text);
    }
  }
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
    /** Says a line beside the progress. */
    say: (line: string): void => (progress?.print ?? say)(line),
    show({ kind, reason, progress: shown }: RunStage): void {
      if (kind === 'queued' || kind === 'starting') sayOnce(`${kind}: ${reason}`);
      if (kind !== 'running' || shown === undefined) return;
      const { step, until: total, phase, imagesPerSecond, world, target, etaSeconds } = shown;
      progress ??= createProgress({ label: 'train', total, start: step, mode, print: say });
      if (shown.reason !== '') sayOnce(`${shown.stage}: ${shown.reason}`);
      const note = `${imagesPerSecond} images/s, ${world} of ${target} workers`;
      progress.update(step, phase === '' ? note : `${phase}, ${note}`, etaSeconds);
    },
    close: () => progress?.close(),
  };
}

/** Of a run that has finished; the digest of its parameters is empty where nobody has said it. */
interface ClusterResult {
  readonly step: number;
  readonly sha256: string;
}

/** What the leader wrote last on the Lease, or the last line of a coordinator that ended well. */
export async function readResult(
  client: ClusterClient,
  { namespace, name }: ClusterRun,
  { progress }: RunStage,
): Promise<ClusterResult> {
  const shown = progress?.result;
  if (shown?.kind === 'finished') return { step: shown.step, sha256: shown.sha256 };
  let found: ClusterResult | undefined;
  const selection = { labelSelector: labelSelector(name, 'coordinator') };
  const { items } = await client.list<V1Pod>('Pod', namespace, selection);
  for (const { metadata, status } of items) {
    if (found !== undefined || status?.phase !== 'Succeeded') continue;
    const pod = metadata?.name ?? '';
    const request = { namespace, pod, container: 'coordinator', follow: false, tail: 20 };
    try {
      for await (const line of podLog(client, request)) found = resultIn(line) ?? found;
    } catch (error) {
      // Of a pod whose node is lost nobody can read the log; the run has finished all the same.
      if (!(error instanceof ClusterError)) throw error;
    }
  }
  return found ?? { step: progress?.step ?? 0, sha256: '' };
}

/** From a coordinator's last line under --json; undefined for any other. */
function resultIn(line: string): ClusterResult | undefined {
  try {
    const { kind, step, sha256 } = parseJson(line) as Readonly<Record<string, unknown>>;
    return kind === 'finished' ? { step: Number(step), sha256: String(sha256) } : undefined;
  } catch {
    return undefined;
  }
}
