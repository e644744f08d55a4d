// `lockstep checkpoints`: lists the checkpoints of a run, and sums them up to see which are whole.

import type { Argv, CommandModule } from 'yargs';
import { readBest, type BestCheckpoint } from '../../shared/checkpoint/best.js';
import {
  listCheckpoints,
  newestWholeCheckpoint,
  type CheckpointEntry,
  isManifest,
  readManifest,
  verifyCheckpoint,
  type Verification,
} from '../../shared/checkpoint/read.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { OperatorError } from '../../shared/problems.js';
import type { ObjectStore } from '../../shared/store/store.js';
import { CommandFailed } from '../failure.js';
import { flagOption, numberOption, withPositional } from '../options.js';
import { printJson, printNote, printTable } from '../output.js';
import { runUrl, withStore } from '../stores.js';

interface RunArguments {
  readonly run: string;
  readonly json: boolean;
}

interface VerifyArguments extends RunArguments {
  readonly step: number | undefined;
}

const lsCommand: CommandModule<object, RunArguments> = {
  command: 'ls <run>',
  describe: 'List the checkpoints of RUN',
  builder: (y) => withRun(y),
  handler: async ({ run, json }) => {
    await withStore(runUrl(run), async (store) => {
      const lines: ListLine[] = [];
      const entries = await requireCheckpoints(store);
      const best = await readBest(store);
      for (const entry of entries) lines.push(await lineOf(store, entry, best));
      if (json) return lines.forEach(printJson);
      printTable([
        ['step', 'written', 'workers', 'MiB', 'parameters', 'computed by', 'state'],
        ...lines.map((line): (string | number)[] => [
          line.step,
          line.created_at ?? '-',
          line.world ?? '-',
          mebibytes(line.bytes),
          line.sha256?.slice(0, 12) ?? '-',
          line.fingerprint ?? '-',
          line.best === undefined
            ? line.state
            : `${line.state}, best ${line.best.metric}: ${line.best.value.toFixed(4)}`,
        ]),
      ]);
      printNote(`Read every byte of them: lockstep checkpoints verify ${run}`);
    });
  },
};

const verifyCommand: CommandModule<object, VerifyArguments> = {
  command: 'verify <run>',
  describe: 'Sum up the checkpoints of RUN; fails when one is broken',
  builder: (y) => withRun(y).option('step', numberOption('Only the checkpoint of this step')),
  handler: async ({ run, json, step }) => {
    await withStore(runUrl(run), async (store) => {
      const entries = await requireCheckpoints(store);
      const found: Verification[] = [];
      for (const entry of chooseStep(entries, step))
        found.push(await verifyCheckpoint(store, entry.step));
      if (json) found.forEach((one) => printJson(jsonOf(one)));
      else printTable([['step', 'MiB', 'state'], ...found.map(rowOf)]);
      const broken = found.filter(({ faults }) => faults.length > 0);
      if (broken.length === 0) return;
      const verb = broken.length === 1 ? 'is' : 'are';
      const newest = step === undefined ? await newestWholeCheckpoint(store) : undefined;
      const start = newest?.manifest;
      throw new CommandFailed(
        `${broken.length} of ${found.length} checkpoints ${verb} broken`,
        exitCodes.failed,
        start && `lockstep resume ${run} starts from step ${start.step}`,
      );
    });
  },
};

/** `lockstep checkpoints ls|verify RUN`. */
export const checkpointsCommand: CommandModule = {
  command: 'checkpoints <action>',
  describe: "List and verify a run's checkpoints",
  builder: (y) =>
    y.command(lsCommand).command(verifyCommand).demandCommand(1, 'Name an action: ls or verify.'),
  handler: () => undefined,
};

function withRun<T>(y: Argv<T>): Argv<T & RunArguments> {
  const forms = 'A file:// or s3:// folder, or the id of a local run';
  return withPositional(y, 'run', forms).option('json', flagOption('Print one JSON object a line'));
}

async function requireCheckpoints(store: ObjectStore): Promise<CheckpointEntry[]> {
  const entries = await listCheckpoints(store);
  if (entries.length > 0) return entries;
  throw new OperatorError('there are no checkpoints', [
    {
      key: 'RUN',
      given: store.url,
      allowed: 'a run that has saved a checkpoint',
      hint: 'the id of a run below ./runs, or its file:// or s3:// folder',
    },
  ]);
}

function chooseStep(entries: CheckpointEntry[], step: number | undefined): CheckpointEntry[] {
  if (step === undefined) return entries;
  const chosen = entries.filter((entry) => entry.step === step);
  if (chosen.length > 0) return chosen;
  const steps = entries.map((entry) => entry.step).join(', ');
  throw new OperatorError('there is no such checkpoint', [
    { key: '--step', given: step, allowed: `one of ${steps}` },
  ]);
}

interface ListLine {
  readonly step: number;
  /** "finished", "unfinished", or what is wrong with the manifest. Sums are not looked at. */
  readonly state: string;
  readonly bytes: number;
  readonly created_at?: string;
  readonly world?: number;
  readonly sha256?: string;
  /** What computed it: engine, version, provider. */
  readonly fingerprint?: string;
  /** Where it is the best one by the spec's metric. */
  readonly best?: Omit<BestCheckpoint, 'step'>;
}

async function lineOf(
  store: ObjectStore,
  { step, bytes }: CheckpointEntry,
  best: BestCheckpoint | undefined,
): Promise<ListLine> {
  const manifest = await readManifest(store, step);
  if (!isManifest(manifest))
    return { step, state: manifest.kind === 'missing' ? 'unfinished' : manifest.text, bytes };
  return {
    step,
    state: 'finished',
    bytes,
    created_at: manifest.createdAt,
    world: manifest.worldSize,
    sha256: manifest.parametersSha256,
    fingerprint: manifest.fingerprint,
    ...(best?.step === step ? { best: { metric: best.metric, value: best.value } } : {}),
  };
}

function mebibytes(bytes: number): number {
  return Math.round((bytes / 1024 / 1024) * 10) / 10;
}

function rowOf({ step, bytes, faults }: Verification): (string | number)[] {
  const state = faults.length === 0 ? 'whole' : faults.map(({ text }) => text).join('; ');
  return [step, mebibytes(bytes), state];
}

function jsonOf({ step, bytes, faults, manifest }: Verification): object {
  return {
    step,
    whole: faults.length === 0,
    bytes,
    ...(manifest && { sha256: manifest.parametersSha256 }),
    faults: faults.map(({ file, kind, text }) => ({ file, kind, text })),
  };
}
