// `lockstep bench step`: how fast this machine takes a spec's step, without exchange.

import type { CommandModule } from 'yargs';
import { benchStep, type StepBenchResult } from '../../bench/step.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import { engineNames, type EngineName } from '../../shared/spec/schema.js';
import { providers, type Provider } from '../../worker/engine/engine.js';
import { printJson, printTable } from '../output.js';
import { resolveSpec, withSpecOptions, type SpecArguments } from '../spec-options.js';

interface Arguments extends SpecArguments {
  readonly batch?: number | undefined;
  readonly threads?: number | undefined;
  readonly engine?: EngineName | undefined;
  readonly provider?: Provider | undefined;
  readonly steps: number;
  readonly profile?: string | undefined;
  readonly json?: boolean | undefined;
}

export const benchStepCommand: CommandModule<object, Arguments> = {
  command: 'step',
  describe: 'Time the training step on this machine, gradients and Adam, without exchange',
  builder: (y) =>
    withSpecOptions(y)
      .option('batch', { type: 'number', describe: "Images (default: the spec's batch.size)" })
      .option('threads', {
        type: 'number',
        describe: "Compute threads (default: the spec's engine.threads)",
      })
      .option('engine', {
        choices: engineNames,
        describe: "What computes (default: the spec's engine.name)",
      })
      .option('provider', {
        choices: providers,
        describe: 'On what (default: see docs/engines.md)',
      })
      .option('steps', { type: 'number', default: 5, describe: 'Steps that are measured' })
      .option('profile', { type: 'string', describe: "Write the engine's profile to PREFIX*.json" })
      .option('json', { type: 'boolean', describe: 'Print JSON on one line' })
      .example('$0 bench step --preset paper --batch 8 --threads 1', "The paper's networks"),
  handler: async (args) => {
    const spec = resolveSpec(args, 'paper');
    const { batch = spec.batch.size, threads = spec.engine.threads, steps } = args;
    const { engine = spec.engine.name, provider, profile } = args;
    requireCounts({ '--batch': batch, '--threads': threads, '--steps': steps });
    const options = { spec, batch, engine, threads, provider, steps, profile };
    show(await benchStep(options), args.json === true);
  },
};

const largest = 4096;

function requireCounts(counts: Readonly<Record<string, number>>): void {
  const problems = Object.entries(counts)
    .filter(([, n]) => !Number.isInteger(n) || n < 1 || n > largest)
    .map(([key, given]): Problem => {
      return { key, given, allowed: `a whole number from 1 to ${largest}` };
    });
  if (problems.length > 0) throw new OperatorError('the step cannot be timed', problems);
}

function show(result: StepBenchResult, isJson: boolean): void {
  if (isJson) printJson(result);
  else printTable([['figure', 'value'], ...Object.entries(result)]);
}
