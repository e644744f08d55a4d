// `lockstep spec`: prints a preset with its comments, overrides applied in place, or checks a file.

import type { CommandModule } from 'yargs';
import { specDigest } from '../../shared/spec/compare.js';
import { presetNames, presetSummary } from '../../shared/spec/load.js';
import { pinExchange } from '../../shared/spec/exchange.js';
import { lastStep } from '../../shared/spec/schema.js';
import { OperatorError } from '../../shared/problems.js';
import { textOption } from '../options.js';
import { printJson, printLine, printNote, printTable } from '../output.js';
import { resolveSpecDocument, withSpecOptions, type SpecArguments } from '../spec-options.js';

interface Arguments extends SpecArguments {
  readonly name?: string | undefined;
  readonly list?: boolean | undefined;
  readonly exchange?: boolean | undefined;
  readonly json?: boolean | undefined;
}

export const specCommand: CommandModule<object, Arguments> = {
  command: 'spec [name]',
  describe: 'Print or check a run spec',
  builder: (y) =>
    withSpecOptions(y)
      .positional('name', textOption('Preset to print'))
      .option('list', { type: 'boolean', describe: 'List the presets' })
      .option('exchange', {
        type: 'boolean',
        describe: 'Show what workers exchange in a step, instead of the spec',
      })
      .option('json', { type: 'boolean', describe: 'Print JSON on one line' })
      .example('$0 spec demo > run.yaml', 'Start a spec of your own')
      .example('$0 spec paper --set batch.size=8', 'Print a preset with a key changed')
      .example('$0 spec -f run.yaml', 'Check a spec and print it')
      .example('$0 spec paper --exchange', 'Show the bytes of a step, and what is factored'),
  handler: async (args) => {
    if (args.list === true) listPresets(args.json === true);
    else if (args.exchange === true) await showExchange(args);
    else showSpec(args);
  },
};

function listPresets(isJson: boolean): void {
  const rows = presetNames().map((name): [string, string] => [name, presetSummary(name)]);
  if (isJson) for (const [name, summary] of rows) printJson({ name, summary });
  else printTable(rows);
}

function showSpec(args: Arguments): void {
  const { spec, text } = resolveSpecDocument({ ...args, preset: presetOf(args) });
  if (args.json === true) printJson(spec);
  else printLine(text.trimEnd());
  if (args.file === undefined) return;
  printNote(
    `${args.file} is a valid run spec: ${lastStep(spec)} steps, SHA-256 ${specDigest(spec)}`,
  );
}

async function showExchange(args: Arguments): Promise<void> {
  const { spec } = resolveSpecDocument({ ...args, preset: presetOf(args) });
  // Imported here, since tensors take long to load.
  const { stepExchanges } = await import('../../worker/training/exchanged-bytes.js');
  const steps = stepExchanges(pinExchange(spec));
  if (args.json === true) return steps.forEach(printJson);
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  printTable([
    ['phase', 'trains', 'a step', 'of it factors', 'all summed'],
    ...steps.map(({ phase, trains, bytes, factor_bytes, summed_bytes }) => {
      const sizes = [bytes, factor_bytes, summed_bytes].map(mib);
      return [phase, trains.join(', '), ...sizes];
    }),
  ]);
  const names = new Set(steps.flatMap(({ factored }) => factored));
  if (names.size > 0) printLine(`exchanged as factors: ${[...names].join(', ')}`);
}

/** The preset may be named by position or by option, not by both. */
function presetOf({ name, preset }: Arguments): string | undefined {
  if (name === undefined || preset === undefined || name === preset) return name ?? preset;
  const problem = { key: '--preset', given: preset, allowed: `the same as ${name}, or left out` };
  throw new OperatorError('two presets are named', [problem]);
}
