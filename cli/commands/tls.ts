// `lockstep tls`: makes and shows the certificates with which coordinator, workers and operators of
// a run on machines of one's own know each other.

import type { Argv, CommandModule } from 'yargs';
import { workerIdPattern } from '../../shared/control/messages.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import type { Holder } from '../../shared/tls/certificates.js';
import { amountOption, flagOption, withPositional, wordOption } from '../options.js';
import { printJson, printLine, printNote, printTable } from '../output.js';
import { addToTlsFolder, initTlsFolder, renewTlsFolder, showTlsFolder } from '../tls/folder.js';

interface FolderArguments {
  readonly dir: string;
  readonly json: boolean;
}

interface MakingArguments extends FolderArguments {
  readonly run: string;
  readonly workers: string;
  readonly days: number;
}

/** More than any run has. */
const mostWorkers = 4096;
const usualDays = 400;

const initCommand: CommandModule<object, MakingArguments> = {
  command: 'init <dir>',
  describe:
    'Make an authority, and certificates for a run: coordinator, workers, operator, observer',
  builder: (y) => withMaking(y),
  handler: async ({ dir, run, workers, days, json }) => {
    const others = (['coordinator', 'operator', 'observer'] as const).map((role) => ({ role }));
    const holders = [...others, ...workersOf({ run, workers, days })];
    made(json, dir, await initTlsFolder(dir, run, holders, days));
    if (!json)
      printNote(
        'Give each machine ca.crt and its own .crt and .key alone; ca.key stays where it is safe',
      );
  },
};

const addCommand: CommandModule<object, MakingArguments> = {
  command: 'add <dir>',
  describe: 'Add workers of a run to a folder that init made',
  builder: (y) => withMaking(y),
  handler: async ({ dir, run, workers, days, json }) =>
    made(json, dir, await addToTlsFolder(dir, run, workersOf({ run, workers, days }), days)),
};

const renewCommand: CommandModule<object, FolderArguments & { readonly days: number }> = {
  command: 'renew <dir>',
  describe: 'Replace all certificates by new ones of the same authority; runs go on with them',
  builder: (y) => withFolder(y).option('days', daysOption),
  handler: async ({ dir, days, json }) => {
    requireProblemless(daysProblems(days));
    made(json, dir, await renewTlsFolder(dir, days));
  },
};

const showCommand: CommandModule<object, FolderArguments> = {
  command: 'show <dir>',
  describe: 'List who has certificates in a folder, and until when',
  builder: (y) => withFolder(y),
  handler: ({ dir, json }) => {
    const shown = showTlsFolder(dir, Date.now());
    if (json) return shown.forEach(printJson);
    printTable([
      ['file', 'who', 'until', 'days left', ''],
      ...shown.map(({ file, who, until, days_left, ends_soon }) => [
        ...[file, who, until, days_left],
        ends_soon ? 'replace it' : '',
      ]),
    ]);
  },
};

export const tlsCommand: CommandModule = {
  command: 'tls <action>',
  describe: 'Make, renew and show the certificates of a run on machines of your own',
  builder: (y) =>
    y
      .command(initCommand)
      .command(addCommand)
      .command(renewCommand)
      .command(showCommand)
      .demandCommand(1, 'Say what to do: init, add, renew or show')
      .example('$0 tls init tls --run faces --workers 4', 'for w-0 to w-3')
      .example('$0 tls init tls --run faces --workers left,right', 'for workers of these names')
      .example('$0 tls add tls --run faces --workers w-4', 'one more')
      .example('$0 tls show tls', 'who, and until when'),
  handler: () => undefined,
};

const daysOption = amountOption('Days that the certificates hold', { default: usualDays });

function withFolder<T>(y: Argv<T>): Argv<T & FolderArguments> {
  return withPositional(y, 'dir', 'The folder of the certificates').option(
    'json',
    flagOption('One JSON object, or one a line'),
  );
}

function withMaking<T>(y: Argv<T>): Argv<T & MakingArguments> {
  return withFolder(y)
    .option('run', wordOption('Id of the run, or * for any', { demandOption: true }))
    .option(
      'workers',
      wordOption('Ids of workers with commas between them, or how many: worker-0, worker-1, ...', {
        demandOption: true,
      }),
    )
    .option('days', daysOption);
}

function made(json: boolean, dir: string, files: readonly string[]): void {
  if (json) printJson({ folder: dir, files });
  else printLine(`${dir}: ${files.join(', ')}`);
}

/** The workers that are named or counted; throws an OperatorError. */
function workersOf({ run, workers, days }: Omit<MakingArguments, 'dir' | 'json'>): Holder[] {
  const problems = daysProblems(days);
  const count = /^\d+$/.test(workers) ? Number(workers) : undefined;
  const ids =
    count === undefined
      ? workers.split(',')
      : Array.from({ length: Math.min(count, mostWorkers + 1) }, (_, i) => `worker-${i}`);
  if (!/^[^\s/]{1,200}$/.test(run))
    problems.push({ key: '--run', given: run, allowed: 'the id of a run, without blanks and /' });
  const isRight = ids.every((id) => workerIdPattern.test(id));
  if (!isRight || ids.length < 1 || ids.length > mostWorkers || new Set(ids).size < ids.length)
    problems.push({
      ...{ key: '--workers', given: workers },
      allowed: `1 to ${mostWorkers}, or as many different ids with commas between them`,
    });
  requireProblemless(problems);
  return ids.map((worker) => ({ role: 'worker', worker }));
}

function daysProblems(days: number): Problem[] {
  if (Number.isInteger(days) && days >= 1 && days <= 3650) return [];
  return [{ key: '--days', given: days, allowed: 'a whole number from 1 to 3650' }];
}

function requireProblemless(problems: readonly Problem[]): void {
  if (problems.length > 0) throw new OperatorError('the certificates can not be made', problems);
}
