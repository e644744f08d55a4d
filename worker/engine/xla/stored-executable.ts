// The compiled step as part of the run: who compiles it first stores it in the run's folder, and
// all others, and the same worker when it starts again, load it. A compiler may choose other
// kernels each time that it runs; so what is loaded is what gives the same bytes everywhere.

import { z } from 'zod';
import { parseJson } from '../../../shared/bounded-json.js';
import { messageOf } from '../../../shared/problems.js';
import { sha256Of } from '../../../shared/sha256.js';
import { ObjectNotFound, PreconditionFailed } from '../../../shared/store/store.js';
import type { EngineOptions } from '../engine.js';

/** What decides which executable fits: two that differ in any of it are two executables. */
export interface ExecutableFacts {
  readonly platform: string;
  /** Version of the plugin, as it says itself. */
  readonly plugin: string;
  /** Kind of the device, and of the processor where that is the device. */
  readonly device: string;
  /** Options of the compiler. */
  readonly options: string;
}

/** An executable of a compiler's; `serialize` gives undefined where the compiler can't. */
interface Executable {
  serialize(): Uint8Array | undefined;
  close(): void;
}

/** Compiles programs, and loads what was serialized; rejects what it can't load. */
export interface Compiler<E extends Executable> {
  compile(program: string): Promise<E>;
  load(serialized: Uint8Array): Promise<E>;
}

/** What the opening of an executable uses of the engine's options. */
export type ExecutableOptions = Pick<EngineOptions, 'executables' | 'log' | 'warn'>;

const format = 'lockstep-executable/1';
const folder = 'executables/';
const maxHeaderBytes = 16 * 1024;
/** An executable of the paper's step takes some MiB; one that is larger than this isn't kept. */
const maxBytes = 512 * 1024 * 1024;
/**
 * Files of one executable: one that can't be used stays where it is, so that all who come agree on
 * the next one.
 */
const mostFiles = 8;

/**
 * The executable of `program`: that of the run's folder if there is one, else compiled and put
 * there. Workers that compile at the same time all get the one that was there first. Without a
 * store, or where it can't be serialized, it is compiled.
 */
export async function openExecutable<E extends Executable>(
  compiler: Compiler<E>,
  program: string,
  facts: ExecutableFacts,
  options: ExecutableOptions,
): Promise<E> {
  const { executables: store, log, warn } = options;
  const startMs = performance.now();
  const opened = (executable: E, how: 'loaded' | 'compiled', file?: string): E => {
    const seconds = Math.round(performance.now() - startMs) / 1000;
    log?.info(`executable ${how}`, { seconds, file });
    return executable;
  };
  if (store === undefined) return opened(await compiler.compile(program), 'compiled');
  const expected = { ...facts, program: sha256Of(Buffer.from(program)) };
  let own: Compiled<E> | undefined;
  for (let number = 0; number < mostFiles; number++) {
    const file = fileOf(expected, number);
    let body = await readFile(store, file);
    if (body === undefined) {
      own ??= await compile(compiler, program, log);
      if (own.serialized === undefined) return opened(own.executable, 'compiled');
      const isFirst = await putFirst(store, file, encode(expected, own.serialized));
      if (isFirst) return opened(own.executable, 'compiled', file);
      body = await readFile(store, file);
    }
    try {
      if (body === undefined) throw new Error('it was deleted');
      const executable = await compiler.load(decode(expected, body));
      own?.executable.close();
      return opened(executable, 'loaded', file);
    } catch (error) {
      const reason = messageOf(error);
      log?.warn('executable refused', { file, reason });
      warn?.(`${store.url}/${file} can't be used and is left alone: ${reason}`);
    }
  }
  own ??= await compile(compiler, program, log);
  return opened(own.executable, 'compiled');
}

interface Compiled<E> {
  readonly executable: E;
  /** Undefined: it can't be kept. */
  readonly serialized: Uint8Array | undefined;
}

/** Compiles; what can be kept is loaded as all others will load it, so that all run the same. */
async function compile<E extends Executable>(
  compiler: Compiler<E>,
  program: string,
  log: EngineOptions['log'],
): Promise<Compiled<E>> {
  const executable = await compiler.compile(program);
  try {
    const serialized = executable.serialize();
    if (serialized === undefined || serialized.length > maxBytes)
      return { executable, serialized: undefined };
    const loaded = await compiler.load(serialized);
    executable.close();
    return { executable: loaded, serialized };
  } catch (error) {
    log?.warn('executable not kept', { reason: messageOf(error) });
    return { executable, serialized: undefined };
  }
}

type Store = NonNullable<EngineOptions['executables']>;
type FileFacts = ExecutableFacts & { readonly program: string };

function fileOf(facts: FileFacts, number: number): string {
  const key = sha256Of(Buffer.from(JSON.stringify([format, inOrder(facts)])));
  return `${folder}${key}${number === 0 ? '' : `-${number}`}.pjrt`;
}

function inOrder({ platform, plugin, device, options, program }: FileFacts): FileFacts {
  return { platform, plugin, device, options, program };
}

/** Undefined when there is no such file; of one that is too long as much as shows it. */
async function readFile(store: Store, file: string): Promise<Buffer | undefined> {
  try {
    return await store.get(file, { start: 0, end: maxBytes + 2 * maxHeaderBytes });
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined;
    throw error;
  }
}

/** Whether it was written; false: another one is there. */
async function putFirst(store: Store, file: string, body: Uint8Array): Promise<boolean> {
  try {
    await store.put(file, body, { ifAbsent: true });
    return true;
  } catch (error) {
    if (error instanceof PreconditionFailed) return false;
    throw error;
  }
}

const headerSchema = z.object({
  format: z.string(),
  platform: z.string(),
  plugin: z.string(),
  device: z.string(),
  options: z.string(),
  program: z.string(),
  /** Of the body. */
  bytes: z.int().min(0).max(maxBytes),
  sha256: z.string(),
});

/** The file: the header's length (uint32, little endian), the header (JSON), the executable. */
function encode(facts: FileFacts, body: Uint8Array): Buffer {
  const about = { bytes: body.length, sha256: sha256Of(body) };
  const header = Buffer.from(JSON.stringify({ format, ...inOrder(facts), ...about }));
  if (header.length > maxHeaderBytes) throw new Error(`a header of ${header.length} bytes`);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  return Buffer.concat([length, header, body]);
}

/** The executable of a file; throws what is wrong with it. */
function decode(expected: FileFacts, file: Buffer): Uint8Array {
  const headerBytes = file.length < 4 ? 0 : file.readUInt32LE();
  if (headerBytes === 0 || headerBytes > maxHeaderBytes || file.length < 4 + headerBytes)
    throw new Error('it has no header');
  const { bytes, sha256, ...facts } = parseHeader(file.subarray(4, 4 + headerBytes));
  for (const [name, value] of Object.entries({ format, ...inOrder(expected) })) {
    const found = facts[name as keyof typeof facts];
    if (found !== value) throw new Error(`its ${name} is ${short(found)}, not ${short(value)}`);
  }
  const body = file.subarray(4 + headerBytes);
  if (body.length !== bytes) throw new Error(`it has ${body.length} bytes instead of ${bytes}`);
  if (sha256Of(body) !== sha256) throw new Error('its SHA-256 is not that of its header');
  return body;
}

function parseHeader(header: Buffer): z.infer<typeof headerSchema> {
  try {
    return headerSchema.parse(parseJson(header.toString('utf8')));
  } catch {
    throw new Error('its header is malformed');
  }
}

function short(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
