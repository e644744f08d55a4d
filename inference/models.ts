// The generators that come with the package: `models/NAME/` has `model.onnx`, `card.json` (what a
// program reads of it) and `README.md` (its card for people). A model is named by its folder's name
// or by a path, and one that ships is what its card says, to the byte.

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { parseJson } from '../shared/bounded-json.js';
import { readRegularFile } from '../shared/local-files.js';
import { packageFile } from '../shared/paths.js';
import { messageOf, nearMiss, OperatorError } from '../shared/problems.js';
import { sha256Of } from '../shared/sha256.js';

/** What enlarges where no model is named. */
export const defaultModel = 'faces-gan';

const figure = z.object({ model: z.number(), bicubic: z.number() });

const cardSchema = z.object({
  /** What it is for, in a line. */
  description: z.string().min(1).max(300),
  /** Licence of the weights. */
  licence: z.string().min(1).max(300),
  /** The pictures, in a line. */
  trainedOn: z.string().min(1).max(1000),
  /** Output pixels a side for each input pixel. */
  scale: z.int().min(1).max(16),
  /** Of model.onnx. */
  bytes: z.int().min(1),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** By name (psnr, ssim, identity): on faces never trained on, beside bicubic enlargement. */
  metrics: z.record(z.string().max(40), figure),
});

/** What `card.json` says; other keys are for people. */
export type ModelCard = z.infer<typeof cardSchema>;

/** A generator of the package. */
export interface ShippedModel {
  readonly name: string;
  /** Of model.onnx. */
  readonly path: string;
  readonly card: ModelCard;
}

/** The bytes of a model, and where they come from. */
export interface ModelFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Only of one that ships. */
  readonly shipped?: ShippedModel;
}

const folderOfModels = (): string => packageFile('models');
const nameForm = /^[a-z0-9][a-z0-9-]{0,63}$/;
const largestCard = 2 ** 20;

/** A generator of the paper has 6 MB; nothing that fits a protobuf message is refused by size. */
const largestModel = 2 ** 31 - 1;

/** All that ship, by name; an OperatorError for a card that can't be read. */
export async function shippedModels(folder = folderOfModels()): Promise<ShippedModel[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const names = entries.filter((entry) => entry.isDirectory() && nameForm.test(entry.name));
  return Promise.all(names.map(({ name }) => readCard(folder, name))).then((models) =>
    models.sort((a, b) => (a.name < b.name ? -1 : 1)),
  );
}

async function readCard(folder: string, name: string): Promise<ShippedModel> {
  const path = join(folder, name, 'card.json');
  try {
    const text = (await readRegularFile(path, largestCard)).toString('utf8');
    const card = cardSchema.parse(parseJson(text));
    return { name, path: join(folder, name, 'model.onnx'), card };
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : messageOf(error);
    throw new OperatorError(`the card of model ${name} cannot be read`, [
      { key: path, given: reason, allowed: 'the card that came with the package' },
    ]);
  }
}

/**
 * Reads the model that `given` names: a path, or the name of one that ships, unless a file of that
 * name is there. An OperatorError with key "model" for one that isn't there, or isn't its card's.
 */
export async function readModel(given: string, folder = folderOfModels()): Promise<ModelFile> {
  const shipped =
    nameForm.test(given) && !(await isThere(given)) ? await shippedModels(folder) : [];
  const found = shipped.find(({ name }) => name === given);
  if (found === undefined && nameForm.test(given) && !(await isThere(given)))
    throw unknownModel(given, shipped);
  const path = found?.path ?? given;
  const bytes = await readRegularFile(path, largestModel).catch((error: unknown) => {
    throw refusal(given, `the model cannot be read: ${messageOf(error)}`, aModelFile);
  });
  const fault = found === undefined ? undefined : cardFault(found, bytes);
  if (fault !== undefined) throw refusal(given, fault, 'the file that came with the package');
  return found === undefined ? { path, bytes } : { path, bytes, shipped: found };
}

/** What a model's file has that its card does not say; undefined for the right one. */
export function cardFault({ card }: ShippedModel, bytes: Uint8Array): string | undefined {
  if (bytes.length !== card.bytes)
    return `model.onnx has ${bytes.length} bytes, and its card says ${card.bytes}`;
  return sha256Of(bytes) === card.sha256 ? undefined : "model.onnx has not its card's SHA-256";
}

const aModelFile = 'a file that lockstep export RUN --format onnx wrote';

function unknownModel(given: string, shipped: readonly ShippedModel[]): OperatorError {
  const names = shipped.map(({ name }) => name);
  const near = nearMiss(given, names);
  const problem = {
    key: 'model',
    given,
    allowed: [...names, aModelFile].join(', or '),
    hint: near === undefined ? 'lockstep models ls lists those that ship' : `do you mean ${near}?`,
  };
  return new OperatorError('there is no such model', [problem]);
}

function refusal(given: string, what: string, allowed: string): OperatorError {
  return new OperatorError(what, [{ key: 'model', given, allowed }]);
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
