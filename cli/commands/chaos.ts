// `lockstep chaos`: injects faults into a run that goes on, and reports what came of each.

import { hostname } from 'node:os';
import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import { exitCodes } from '../../shared/exit-codes.js';
import { OperatorError } from '../../shared/problems.js';
import { withAttachedRun, type AttachedRun } from '../chaos/attach.js';
import { runChaos, type ChaosResult } from '../chaos/chaos.js';
import {
  faultKinds,
  faultWords,
  parseFaults,
  possibleFaults,
  type WeightedFault,
} from '../chaos/faults.js';
import {
  costText,
  faultJson,
  faultText,
  outcomeText,
  plannedJson,
  summarize,
  summaryJson,
  summaryRows,
} from '../chaos/summary.js';
import { stopWhenInterrupted } from '../interruptions.js';
import { amountOption, flagOption, withPositional, wordOption } from '../options.js';
import { rangeProblems } from '../number-ranges.js';
import { askingOptions, openOperator, type AskingArguments } from '../tls/tls-options.js';
import { printJson, printLine, printNote, printTable } from '../output.js';

const defaultFaults = 'kill,freeze,coordinator';

const options = {
  faults: wordOption('Faults with commas between them, or all; kill:3 is three times as likely', {
    default: defaultFaults,
  }),
  seed: amountOption('Of the schedule: the same seed, the same faults (default: drawn, and told)'),
  every: amountOption('Seconds between two faults on average; the seed varies them by a half', {
    default: 5,
  }),
  count: amountOption('Faults in all (default: until the run ends)'),
  duration: amountOption('Seconds after which no more faults are injected'),
  ...askingOptions,
  json: flagOption(
    'One JSON object a line: each fault and what came of it; the last has the summary',
  ),
} as const satisfies Record<string, Options>;

type ChaosArguments = AskingArguments & { readonly run: string } & InferredOptionTypes<
    typeof options
  >;

export const chaosCommand: CommandModule<object, ChaosArguments> = {
  command: 'chaos <run>',
  describe: 'Inject faults into a run that goes on, and tell how it recovers',
  builder: (y) =>
    withPositional(y, 'run', 'A run of this machine: its id, or its file:// or s3:// folder')
      .options(options)
      .example('$0 chaos tiny-20261124-190000 --seed 7', `${defaultFaults}, until the run ends`)
      .example(
        '$0 chaos tiny-20261124-190000 --faults all,kill:3 --every 10 --duration 600',
        'all faults, kills three times as often',
      )
      .epilogue(helpText()),
  handler: injectFaults,
};

function helpText(): string {
  const width = Math.max(...faultKinds.map(({ length }) => length));
  return [
    'Faults:',
    ...faultKinds.map((kind) => `  ${kind.padEnd(width)}  ${faultWords[kind]}`),
    '',
    'mute, half-open and flip need workers that obey: lockstep train --allow-faults.',
    "Each process that is killed uses up one of the run's --restarts.",
    'Exit code 0: the run goes on, or ended well; 1: it failed, or made no step for 60 s.',
  ].join('\n');
}

async function injectFaults(args: ChaosArguments): Promise<void> {
  requireSense(args);
  const wanted = parseFaults(args.faults);
  const seed = args.seed ?? Math.floor(Math.random() * 1_000_000);
  await withAttachedRun(args.run, openOperator(args), async (attached) => {
    const { faults, notes } = possibleFaults(wanted, attached.status, hostname());
    notes.forEach(printNote);
    announce(args, attached, faults, seed);
    conclude(args, seed, await strike(args, attached, faults, seed));
  });
}

function requireSense({ seed, every, count, duration }: ChaosArguments): void {
  const problems = rangeProblems({ '--seed': [seed, 0] });
  if (!(every >= 0.1 && every <= 86_400))
    problems.push({ key: '--every', given: every, allowed: 'seconds from 0.1 up' });
  problems.push(...rangeProblems({ '--count': [count, 1] }));
  if (duration !== undefined && !(duration > 0))
    problems.push({ key: '--duration', given: duration, allowed: 'seconds above 0' });
  if (problems.length > 0) throw new OperatorError('no fault was injected', problems);
}

function announce(
  { json }: ChaosArguments,
  { run, url, status }: AttachedRun,
  faults: readonly WeightedFault[],
  seed: number,
): void {
  const { step, target } = status;
  const kinds = faults.map(({ kind }) => kind);
  if (json) printJson({ kind: 'chaos', run, url, step, workers: target, faults: kinds, seed });
  else printNote(`${run}: step ${step}, ${target} workers; ${kinds.join(', ')}; seed ${seed}`);
}

function strike(
  { every, count, duration, json }: ChaosArguments,
  { store, watch, status, microShards }: AttachedRun,
  faults: readonly WeightedFault[],
  seed: number,
): Promise<ChaosResult> {
  const stop = stopWhenInterrupted({
    onStop: () => printNote('bringing the run back to what it was; once more ends at once'),
  });
  const at = (seconds: number): string => `${seconds.toFixed(1)} s`.padStart(9);
  return runChaos({
    ...{ store, watch, host: hostname(), count },
    plan: { seed, everyMs: 1000 * every, faults, home: status.target, microShards },
    durationMs: duration === undefined ? undefined : 1000 * duration,
    stop,
    onInjected: (fault, atS, refusal) => {
      if (refusal === undefined)
        return json ? undefined : printNote(`${at(atS)}  ${faultText(fault)}`);
      if (json) printJson({ kind: 'refused', at: atS, ...plannedJson(fault), reason: refusal });
      else printNote(`${at(atS)}  ${faultText(fault)}: not possible: ${refusal}`);
    },
    onSettled: (followed, atS) => {
      if (json) printJson(faultJson(followed, atS));
      else printLine(`${at(atS)}  ${faultText(followed.fault)}: ${outcomeText(followed)}`);
    },
  });
}

function conclude({ json }: ChaosArguments, seed: number, result: ChaosResult): void {
  const { verdict, followed, cost } = result;
  const kinds = summarize(followed);
  const hidden = followed.some(
    ({ fault, outcome }) => fault.kind === 'flip' && outcome !== 'recovered',
  );
  const isWell = verdict.kind !== 'failed' && !hidden;
  process.exitCode = isWell ? exitCodes.ok : exitCodes.failed;
  const { kind: state, reason } = verdict;
  if (json) {
    const whole = { kind: 'summary', seed, ...summaryJson(kinds, cost) };
    return printJson({ ...whole, run_state: state, reason, exit_code: process.exitCode });
  }
  if (kinds.length > 0) printTable(summaryRows(kinds));
  printLine(costText(cost));
  if (hidden) printLine('a bit was flipped, and nobody has found it');
  const how = state === 'goes on' ? state : `has ${state}`;
  printLine(`the run ${how}: ${reason}`);
}
