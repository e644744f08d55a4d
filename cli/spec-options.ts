// The options by which every command takes a run spec, and what they come to.

import type { Argv } from 'yargs';
import { OperatorError } from '../shared/problems.js';
import { openSpec, type SpecDocument, openPreset, presetNames } from '../shared/spec/load.js';
import type { RunSpec } from '../shared/spec/schema.js';
import { wordOption } from './options.js';

/** What the options of `withSpecOptions` parse to. */
export interface SpecArguments {
  readonly file?: string | undefined;
  readonly preset?: string | undefined;
  readonly set?: readonly string[] | undefined;
}

/** Adds `-f FILE | --preset NAME` and `--set key.path=value` (repeatable) to a command. */
export function withSpecOptions<T>(y: Argv<T>): Argv<T & SpecArguments> {
  return y
    .option('file', wordOption('Run spec, a YAML file', { alias: 'f' }))
    .option('preset', wordOption('Run spec that comes with Lockstep (see: lockstep spec --list)'))
    .option(
      'set',
      wordOption('Override a key of the spec: key.path=value (repeatable)', { array: true }),
    );
}

/**
 * The spec that was asked for, with its commented text. `otherwise` names the preset that is
 * meant when neither a file nor a preset is given. Throws OperatorError.
 */
export function resolveSpecDocument(args: SpecArguments, otherwise?: string): SpecDocument {
  const { file, preset = file === undefined ? otherwise : undefined } = args;
  const given = [file, preset].flat().filter((value) => value !== undefined);
  const overrides = args.set ?? [];
  if (given.length !== 1) {
    const allowed = `one of: -f FILE, --preset ${presetNames().join(' | ')}`;
    throw new OperatorError('which run spec is not clear', [
      { key: '-f or --preset', given: given.length === 0 ? undefined : given, allowed },
    ]);
  }
  if (file !== undefined) return openSpec(file, overrides);
  return openPreset(preset ?? '', overrides);
}

/** As `resolveSpecDocument`, the spec alone. */
export function resolveSpec(args: SpecArguments, otherwise?: string): RunSpec {
  return resolveSpecDocument(args, otherwise).spec;
}
