// The `lockstep` command: finds the command that was asked for, runs it, and turns whatever it
// throws into lines for a person and an exit code. Knows no command from the inside.

import yargs, { type Argv } from 'yargs';
import { exitCodes } from '../shared/exit-codes.js';
import { packageVersion } from '../shared/paths.js';
import { nearMiss, OperatorError, type Problem } from '../shared/problems.js';
import { chosenCommand, commands, wordOf, type CommandEntry } from './commands.js';
import { endingOf, UsageError } from './failure.js';
import { endWhenInterrupted, listenForInterruptions } from './interruptions.js';
import { dashWord } from './options.js';
import { printNote } from './output.js';

/** Runs a command line (without `node` and the script) and returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  listenForInterruptions();
  const chosen = chosenCommand(args);
  if (chosen?.stopsInOrder !== true) endWhenInterrupted();
  try {
    refuseUnknownCommand(args, chosen);
    if (chosen?.takesDash !== true) refuseDash(args);
    const parser = await createParser(chosen, args);
    await parser.parseAsync(args.map((arg) => (arg === '-' ? dashWord : arg)));
    return Number(process.exitCode ?? exitCodes.ok);
  } catch (error) {
    const isVerbose = args.includes('--verbose');
    const word = chosen === undefined ? undefined : wordOf(chosen);
    const ending = endingOf(error, isVerbose, word);
    ending.lines.forEach(printNote);
    return ending.exitCode;
  }
}

/** Before yargs, whose own message leaves out what was given. */
function refuseUnknownCommand(args: readonly string[], chosen: CommandEntry | undefined): void {
  const word = args.find((arg) => !arg.startsWith('-'));
  if (word === undefined || chosen !== undefined) return;
  const near = nearMiss(word, commands.map(wordOf));
  const hint = near === undefined ? '' : ` Did you mean ${near}?`;
  throw new UsageError(`There is no command ${JSON.stringify(word)}.${hint}`);
}

/** Before yargs, which hands on an empty text for it. */
function refuseDash(args: readonly string[]): void {
  if (!args.includes('-')) return;
  const what = 'only upscale reads a file from standard input, or writes one to standard output';
  throw new UsageError(`"-" is no name of a file here: ${what}.`);
}

/** All commands by name, and the chosen one as a whole. */
async function createParser(
  chosen: CommandEntry | undefined,
  args: readonly string[],
): Promise<Argv> {
  let parser = withExamples(createBase(chosen, args));
  if (chosen !== undefined) (await import('../shared/environment.js')).prepareSdk();
  for (const entry of commands)
    parser =
      entry === chosen ? await entry.register(parser) : parser.command(entry.usage, entry.summary);
  return parser;
}

function createBase(chosen: CommandEntry | undefined, args: readonly string[]): Argv {
  return yargs()
    .scriptName('lockstep')
    .usage('$0 <command>\n\nTrains TF.js models on many machines as if on one.')
    .parserConfiguration({ 'greedy-arrays': false, 'dot-notation': false })
    .option('verbose', {
      type: 'boolean',
      global: true,
      describe: 'Show where an error comes from',
    })
    .demandCommand(1, 'Name a command.')
    .strict()
    .check((parsed) => requireNumbers(parsed, args) && requireOnce(parsed, args))
    .help()
    .alias('help', 'h')
    .version(packageVersion())
    .detectLocale(false)
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .exitProcess(false)
    .fail((message, error) => {
      if (error instanceof Error && error.name !== 'YError') throw error;
      throw new UsageError(usageMessage(error instanceof Error ? error.message : message, chosen));
    });
}

/** yargs makes NaN of what is no number; a person wants to see what was given. */
function requireNumbers(parsed: Readonly<Record<string, unknown>>, args: readonly string[]): true {
  const problems = Object.entries(parsed)
    .filter(([name, value]) => Number.isNaN(value) && optionPlace(name, args) >= 0)
    .map(([name]): Problem => {
      const at = optionPlace(name, args);
      const [flag = '', ...rest] = args[at]?.split('=') ?? [];
      const given = rest.length > 0 ? rest.join('=') : args[at + 1];
      return { key: flag, given, allowed: 'a number' };
    });
  if (problems.length > 0) throw new OperatorError('the flags are wrong', problems);
  return true;
}

/** What may be given more than once. */
const lists = ['_', 'set', 'beside', 'wheel'];

/** yargs makes a list of what is given twice; only a few options are one. */
function requireOnce(parsed: Readonly<Record<string, unknown>>, args: readonly string[]): true {
  const problems = Object.entries(parsed)
    .filter(([name, value]) => Array.isArray(value) && !lists.includes(name))
    .filter(([name]) => optionPlace(name, args) >= 0 || args.includes(`-${name}`))
    .map(([name, given]) => {
      const key = name.length === 1 ? `-${name}` : `--${name}`;
      return { key, given, allowed: 'to be given once' };
    });
  if (problems.length > 0) throw new OperatorError('the flags are wrong', problems);
  return true;
}

function optionPlace(name: string, args: readonly string[]): number {
  return args.findLastIndex((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`));
}

/** yargs counts missing arguments; a person wants to see which. */
function usageMessage(message: string, chosen: CommandEntry | undefined): string {
  if (chosen === undefined || !message.startsWith('Not enough non-option arguments'))
    return message;
  return `Something is missing: lockstep ${chosen.usage}`;
}

function withExamples(parser: Argv): Argv {
  return parser.example([
    ['$0 demo', 'Train on real faces and show what came out, in minutes'],
    ['$0 dataset pack photos/ file://faces', 'Make a dataset of your own pictures'],
    ['$0 train -f run.yaml --workers 2', 'Train on this machine'],
    ['$0 resume RUN --workers 4', 'Go on with a run, on any number of workers'],
  ]);
}
