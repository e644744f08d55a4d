// The commands of `lockstep`, in the order of the help. A command's module is loaded only when it
// was asked for, so that `lockstep --help` and `lockstep spec` start at once.

import type { Argv } from 'yargs';

/** A command: how it is called, what it does in a few words, and its module. */
export interface CommandEntry {
  /** The word and its positional arguments, as the help shows them. */
  readonly usage: string;
  readonly summary: string;
  /** Loads the module and adds the whole command. */
  register(y: Argv): Promise<Argv>;
}

export const commands: readonly CommandEntry[] = [
  {
    usage: 'spec [name]',
    summary: 'Print or check a run spec',
    register: async (y) => y.command((await import('./commands/spec.js')).specCommand),
  },
];

/** The word of a command, without its positional arguments. */
export function wordOf(entry: CommandEntry): string {
  return entry.usage.split(' ', 1)[0] ?? entry.usage;
}

/** The command that a command line asks for; undefined for none, or one that does not exist. */
export function chosenCommand(args: readonly string[]): CommandEntry | undefined {
  const word = args.find((arg) => !arg.startsWith('-'));
  return commands.find((entry) => wordOf(entry) === word);
}
