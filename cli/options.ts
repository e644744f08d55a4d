// Entries of the commands' option tables: their types stay literal, so that yargs infers from them
// what a command's arguments are.

import type { Argv, Options } from 'yargs';

/**
 * Stands for "-" among the words that yargs reads, since it drops a "-" that is no option's value.
 * No word of a command line has this character in it.
 */
export const dashWord = '\0';

type Entry<T extends string, M> = { readonly type: T; readonly describe: string } & M;

/** Off unless it is given. */
export function flagOption<const M extends Options = object>(describe: string, more = {} as M) {
  return { type: 'boolean', default: false, describe, ...more } as Entry<'boolean', M> & {
    readonly default: false;
  };
}

/** For what leads a run. */
export const tensorboardOption = {
  type: 'boolean',
  default: true,
  describe: "TensorBoard's event files in the run's folder (--no-tensorboard: none)",
} as const;

/** A text; an empty one where nothing follows the option. */
export function textOption<const M extends Options = object>(describe: string, more = {} as M) {
  return { type: 'string', describe, ...more } as Entry<'string', M>;
}

/** A text that must follow the option. */
export function wordOption<const M extends Options = object>(describe: string, more = {} as M) {
  return { type: 'string', requiresArg: true, describe, ...more } as Entry<'string', M>;
}

/** A number. */
export function numberOption<const M extends Options = object>(describe: string, more = {} as M) {
  return { type: 'number', describe, ...more } as Entry<'number', M>;
}

/** A number that must follow the option. */
export function amountOption<const M extends Options = object>(describe: string, more = {} as M) {
  return { type: 'number', requiresArg: true, describe, ...more } as Entry<'number', M>;
}

/** Adds an argument that is named by its place, and must be given. */
export function withPositional<T, const Name extends string>(
  y: Argv<T>,
  name: Name,
  describe: string,
): Argv<T & { readonly [name in Name]: string }> {
  return y.positional(name, { type: 'string', demandOption: true, describe });
}
