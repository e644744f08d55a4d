// The files of an exported model, by format: their names and the order in which they are written,
// so that what names others is there last. A page that runs the model in the browser has them
// beside its own files.

import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf, OperatorError } from '../shared/problems.js';
import type { ShippedModel } from './models.js';
import { outputProblem, type OutputPlace, writeOutput } from './output-file.js';
import { pageFileNames, readPageFiles } from './page-files.js';

export type ExportFormat = 'onnx' | 'tfjs' | 'pytorch' | 'web';

/** Bytes by the file's name, which may lead into a folder. */
export type FileContents = ReadonlyMap<string, Uint8Array>;

/** What was written. */
export interface WrittenFiles {
  /** Paths, the file to load first. */
  readonly files: readonly string[];
  readonly bytes: number;
}

/** Where files are to go. */
export interface ExportPlace {
  readonly format: ExportFormat;
  /** Made when missing. */
  readonly folder: string;
  /** Replaces files of an earlier export. */
  readonly isForced: boolean;
}

const modelFolder = 'model';

/** Names of a format's files in the order of writing. */
function fileNames(format: ExportFormat): readonly string[] {
  switch (format) {
    case 'onnx':
      return ['model.onnx'];
    case 'pytorch':
      return ['model.safetensors'];
    case 'tfjs':
      return ['weights.bin', 'model.json'];
    case 'web':
      return [
        ...fileNames('tfjs').map((name) => `${modelFolder}/${name}`),
        ...pageFileNames('browser'),
      ];
  }
}

/** The two files of a TF.js graph model. */
export interface TfjsModel {
  readonly weights: Uint8Array;
  readonly topology: Uint8Array;
}

/** The files of the format `tfjs`. */
export function tfjsFiles({ weights, topology }: TfjsModel): FileContents {
  return new Map([
    ['weights.bin', weights],
    ['model.json', topology],
  ]);
}

/** The files of the format `web`: a page that runs the model; `name` is what people know it by. */
export async function webFiles(name: string, model: TfjsModel): Promise<FileContents> {
  const files = [...tfjsFiles(model)].map(
    ([name, bytes]) => [`${modelFolder}/${name}`, bytes] as const,
  );
  return new Map([...files, ...(await readPageFiles('browser', name))]);
}

/** By name, where the files go; an OperatorError names everything that stands there. */
export async function freePlaces({
  folder,
  format,
  isForced,
}: ExportPlace): Promise<ReadonlyMap<string, OutputPlace>> {
  const places = new Map(
    fileNames(format).map((name) => [name, { path: join(folder, name), isForced, key: '--out' }]),
  );
  const problems = await Promise.all([...places.values()].map(outputProblem));
  const found = problems.filter((problem) => problem !== undefined);
  if (found.length > 0) throw new OperatorError('the model cannot be written', found);
  return places;
}

/** Writes the files, each under its name when all of it is there, in the order of the places. */
export async function writeFiles(
  places: ReadonlyMap<string, OutputPlace>,
  contents: FileContents,
): Promise<WrittenFiles> {
  const files: string[] = [];
  let bytes = 0;
  for (const [name, place] of places) {
    const content = contents.get(name);
    if (content === undefined) throw new Error(`there is no content for ${name}`);
    files.unshift(await writeOutput(place, content));
    bytes += content.length;
  }
  return { files, bytes };
}

/** Exports a page with a model that ships, from the TF.js files beside its ONNX file. */
export async function exportShippedPage(
  { name, path }: ShippedModel,
  place: Omit<ExportPlace, 'format'>,
): Promise<WrittenFiles> {
  const places = await freePlaces({ ...place, format: 'web' });
  const read = (file: string) =>
    readFile(join(dirname(path), file)).catch((error: unknown) => {
      throw new OperatorError(`the model ${name} cannot be exported as a page`, [
        { key: file, given: messageOf(error), allowed: 'the file that came with the package' },
      ]);
    });
  const model = { weights: await read('weights.bin'), topology: await read('model.json') };
  return writeFiles(places, await webFiles(name, model));
}
