// `lockstep models`: the generators that come with the package.

import type { CommandModule } from 'yargs';
import { cardFault, readModel, shippedModels, type ShippedModel } from '../../inference/models.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { messageOf } from '../../shared/problems.js';
import { CommandFailed } from '../failure.js';
import { flagOption } from '../options.js';
import { printJson, printLine, printNote, printTable } from '../output.js';

interface Arguments {
  readonly json: boolean;
}

const lsCommand: CommandModule<object, Arguments> = {
  command: 'ls',
  describe: 'List them, and compare each file with the SHA-256 of its card',
  builder: (y) =>
    y
      .option('json', flagOption('Print one JSON object a line'))
      .example('$0 models ls', 'Names, sizes, and how good they are')
      .example('$0 upscale photo.jpg --model faces-pixel', 'Use one'),
  handler: async ({ json }) => {
    const states = await Promise.all((await shippedModels()).map(async (model) => stateOf(model)));
    if (json) states.forEach((state) => printJson(jsonOf(state)));
    else printStates(states);
    const broken = states.filter(({ fault }) => fault !== undefined);
    if (broken.length === 0) return;
    throw new CommandFailed(
      `not as their cards say: ${broken.map(({ model }) => model.name).join(', ')}`,
      exitCodes.failed,
      'Install the package again.',
    );
  },
};

/** `lockstep models ls`. */
export const modelsCommand: CommandModule = {
  command: 'models <action>',
  describe: 'List the trained generators that come with Lockstep',
  builder: (y) => y.command(lsCommand).demandCommand(1, 'Name an action: ls.'),
  handler: () => undefined,
};

interface ModelState {
  readonly model: ShippedModel;
  /** What is wrong with the file. */
  readonly fault: string | undefined;
}

async function stateOf(model: ShippedModel): Promise<ModelState> {
  try {
    const { bytes } = await readModel(model.path);
    return { model, fault: cardFault(model, bytes) };
  } catch (error) {
    return { model, fault: messageOf(error) };
  }
}

function jsonOf({ model: { name, path, card }, fault }: ModelState): object {
  const { scale, bytes, sha256, metrics, description, licence, trainedOn } = card;
  const facts = { name, path, scale, bytes, sha256, whole: fault === undefined };
  return { ...facts, metrics, description, licence, trained_on: trainedOn };
}

function printStates(states: readonly ModelState[]): void {
  if (states.length === 0) return printNote('No model comes with this copy of Lockstep.');
  const names = [...new Set(states.flatMap(({ model }) => Object.keys(model.card.metrics)))];
  printTable([
    ['model', 'MB', 'scale', ...names.map((name) => `${name} (bicubic)`), 'sha256', 'state'],
    ...states.map(({ model: { name, card }, fault }) => [
      ...[name, Math.round(card.bytes / 1e4) / 100, card.scale],
      ...names.map((metric) => metricOf(card.metrics[metric])),
      ...[card.sha256.slice(0, 12), fault ?? 'whole'],
    ]),
  ]);
  for (const { model } of states) printLine(`\n${model.name}: ${model.card.description}`);
}

function metricOf(figure: { readonly model: number; readonly bicubic: number } | undefined) {
  return figure === undefined ? '-' : `${figure.model} (${figure.bicubic})`;
}
