// Which pictures are to be enlarged, and where each goes: files, folders with all below them,
// patterns that no shell has expanded, and standard input. Nothing is opened or written here.

import { lstat, readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, parse, relative, resolve, sep } from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';
import { pictureEndings, unreadEnding } from '../../dataset/picture-formats.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import { formatOfName, type OutputFormat } from './output-format.js';

/** Standard input or output, where a file could be named. */
export const standardStream = '-';

/** What is asked for. */
export interface UpscaleRequest {
  readonly inputs: readonly string[];
  /** A file, a folder, or `-`; beside each input when left out. */
  readonly out?: string | undefined;
  readonly format?: OutputFormat | undefined;
  /** Output pixels a side for each input pixel: in the names of files beside their inputs. */
  readonly scale: number;
}

/** One picture to enlarge. */
export interface UpscaleTask {
  /** A path, or `-`. */
  readonly input: string;
  /** A path, or `-`. */
  readonly output: string;
  /** In a folder of outputs: a file that is there was made before, and is left alone. */
  readonly isInFolder: boolean;
}

/** An input that can't become a task. */
export interface UpscaleFault {
  readonly input: string;
  readonly reason: string;
}

/** Everything that a request names, in its order; below folders in the order of names. */
export interface UpscalePlan {
  readonly tasks: readonly UpscaleTask[];
  readonly faults: readonly UpscaleFault[];
}

/** An input, and its path below the folder that was named: its place in a folder of outputs. */
interface Found {
  readonly input: string;
  readonly below: string;
}

/** Finds the pictures; an OperatorError for a request that contradicts itself. */
export async function planUpscale(request: UpscaleRequest): Promise<UpscalePlan> {
  const { inputs, out } = request;
  const kinds = await Promise.all(inputs.map(kindOf));
  const isMany = kinds.length > 1 || kinds[0] === 'folder' || kinds[0] === 'pattern';
  const isFolder = out !== undefined && out !== standardStream && (await namesFolder(out, isMany));
  const problems = requestProblems(request, kinds, isFolder);
  if (problems.length > 0) throw new OperatorError('the pictures cannot be upscaled', problems);
  const found: Found[] = [];
  const faults: UpscaleFault[] = [];
  for (const [i, input] of inputs.entries()) {
    const listed = await list(input, kinds[i], out);
    if (listed.length === 0) faults.push({ input, reason: emptiness[kinds[i]] });
    for (const one of listed) {
      const reason = kinds[i] === 'file' ? undefined : unreadEnding(one.input);
      if (reason === undefined) found.push(one);
      else faults.push({ input: one.input, reason });
    }
  }
  const outputOf = (one: Found) => (isFolder ? inFolder(out, one, request) : outside(one, request));
  return withoutCollisions(found, outputOf, isFolder, faults);
}

type InputKind = 'stream' | 'folder' | 'pattern' | 'file';

const emptiness: Readonly<Record<InputKind, string>> = {
  stream: '',
  file: '',
  folder: 'there is no picture in this folder',
  pattern: 'no picture has a name like that',
};

async function kindOf(input: string): Promise<InputKind> {
  if (input === standardStream) return 'stream';
  const found = await stat(input).catch(() => undefined);
  if (found?.isDirectory() === true) return 'folder';
  return found === undefined && !(await isLink(input)) && isDynamicPattern(input)
    ? 'pattern'
    : 'file';
}

async function isLink(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}

/** A folder that is there, a name that ends as folders do, or whatever many pictures go to. */
async function namesFolder(out: string, isMany: boolean): Promise<boolean> {
  if (isMany || /[/\\]$/.test(out) || extname(out) === '') return true;
  return (await stat(out).catch(() => undefined))?.isDirectory() === true;
}

function requestProblems(
  { inputs, out, format }: UpscaleRequest,
  kinds: readonly InputKind[],
  isFolder: boolean,
): Problem[] {
  const problems: Problem[] = [];
  const folder = inputs[kinds.indexOf('folder')];
  if (folder !== undefined && out === undefined) {
    const allowed = 'a folder for the outputs, where an input is a folder';
    problems.push({
      key: '--out',
      given: undefined,
      allowed,
      hint: `--out ${basename(folder)}-4x`,
    });
  }
  if (kinds.length > 1 && (kinds.includes('stream') || out === standardStream))
    problems.push({ key: 'input', given: inputs, allowed: 'one picture, with "-"' });
  if (kinds.includes('stream') && isFolder)
    problems.push({ key: '--out', given: out, allowed: 'the name of a file, or "-"' });
  const model = inputs.find((input) => /\.onnx$/i.test(input));
  if (model !== undefined)
    problems.push({ key: 'input', given: model, allowed: 'a picture', hint: `--model ${model}` });
  const isFile = out !== undefined && out !== standardStream && !isFolder;
  if (isFile && format === undefined && formatOfName(out) === undefined) {
    const allowed = 'a name that ends in .png, .jpg, .webp, .avif or .tif';
    problems.push({ key: '--out', given: out, allowed, hint: 'or --format' });
  }
  return problems;
}

async function list(input: string, kind: InputKind, out: string | undefined): Promise<Found[]> {
  if (kind === 'folder') return picturesBelow(input, out);
  if (kind !== 'pattern') return [{ input, below: basename(input) }];
  const paths = await glob(input, { onlyFiles: true, expandDirectories: false });
  return paths.sort().map((path) => ({ input: path, below: basename(path) }));
}

/** Pictures by their names' endings; what is hidden, and the outputs' folder, are left out. */
async function picturesBelow(folder: string, out: string | undefined): Promise<Found[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const outputs = out === undefined ? undefined : resolve(out) + sep;
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((input) => ({ input, below: relative(folder, input) }))
    .filter(({ below }) => !below.split(sep).some((part) => /^(\.|__MACOSX$)/.test(part)))
    .filter(({ input }) => isPictureName(input) || unreadEnding(input) !== undefined)
    .filter(({ input }) => outputs === undefined || !isInside(resolve(input), outputs, folder))
    .sort((a, b) => (a.input < b.input ? -1 : 1));
}

/** Outputs inside the folder are left out, unless the folder is where they go itself. */
function isInside(input: string, outputs: string, folder: string): boolean {
  return input.startsWith(outputs) && resolve(folder) + sep !== outputs;
}

function isPictureName(path: string): boolean {
  return (pictureEndings as readonly string[]).includes(extname(path).slice(1).toLowerCase());
}

function inFolder(folder: string, { below }: Found, { format }: UpscaleRequest): string {
  const { dir, name, ext } = parse(below);
  return join(folder, dir, name + outputEnding(ext, format));
}

function outside({ input }: Found, { out, format, scale }: UpscaleRequest): string {
  if (out !== undefined) return out;
  if (input === standardStream) return standardStream;
  const { name, ext } = parse(input);
  return join(dirname(input), `${name}-${scale}x${outputEnding(ext, format)}`);
}

/** The input's own ending if that of a format to write, else the format's. */
function outputEnding(ending: string, format: OutputFormat | undefined): string {
  const own = formatOfName(`x${ending}`);
  return own !== undefined && (format ?? own) === own ? ending : `.${format ?? 'png'}`;
}

function withoutCollisions(
  found: readonly Found[],
  outputOf: (one: Found) => string,
  isInFolder: boolean,
  faults: UpscaleFault[],
): UpscalePlan {
  const takenBy = new Map<string, string>();
  const tasks: UpscaleTask[] = [];
  for (const one of found) {
    const { input } = one;
    const output = outputOf(one);
    const other = takenBy.get(output);
    if (other !== undefined)
      faults.push({ input, reason: `its output would have the name of the one of ${other}` });
    else if (isInFolder && resolve(input) === resolve(output))
      faults.push({ input, reason: 'its output would take its own place: give another --out' });
    else tasks.push({ input, output, isInFolder });
    takenBy.set(output, other ?? input);
  }
  return { tasks, faults };
}
