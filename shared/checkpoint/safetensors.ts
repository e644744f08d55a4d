// The safetensors format (https://github.com/huggingface/safetensors): 8 bytes of header length, a
// JSON header, then the tensors' bytes without gaps. Only F32 here, little-endian as every machine
// that runs this. Bytes are untrusted: nothing is parsed or allocated before it is bounded.

import { sizeOf, type TensorSpec } from '../layout.js';
import { parseJson, TooDeep } from '../bounded-json.js';
import { clip, printable } from '../problems.js';

/** A tensor with its values, row-major. */
export interface NamedTensor extends TensorSpec {
  readonly data: Float32Array;
}

/** What a file holds. */
export interface SafetensorsFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, NamedTensor>;
}

/** The bytes are not a safetensors file that this program may read. */
export class SafetensorsFault extends Error {
  constructor(message: string) {
    super(printable(`not a safetensors file: ${clip(message, 300)}`));
    this.name = 'SafetensorsFault';
  }
}

/** Longest header that is parsed; 64 KiB a thousand tensors is typical. */
export const maxHeaderBytes = 8 * 1024 * 1024;
const maxRank = 8;
const prefixBytes = 8;

/** Writes a file: its head, and the tensors' values in the order given. */
export function encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Buffer {
  for (const { name, shape, data } of tensors)
    if (sizeOf(shape) !== data.length) throw new Error(`${name} has not the size of its shape`);
  const values = tensors.map(({ data }) => {
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  });
  return Buffer.concat([encodeSafetensorsHead(tensors, metadata), ...values]);
}

/**
 * The beginning of a file of these tensors, whose values follow it in this order without gaps; a
 * multiple of 8 bytes, and the same bytes each time.
 */
export function encodeSafetensorsHead(
  tensors: readonly TensorSpec[],
  metadata: Readonly<Record<string, string>> = {},
): Buffer {
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header['__metadata__'] = metadata;
  let end = 0;
  for (const { name, shape } of tensors) {
    if (name === '__metadata__' || Object.hasOwn(header, name))
      throw new Error(`tensor name ${name} is taken`);
    header[name] = { dtype: 'F32', shape, data_offsets: [end, (end += 4 * sizeOf(shape))] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const padding = Buffer.alloc((8 - (text.length % 8)) % 8, ' ');
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeBigUInt64LE(BigInt(text.length + padding.length));
  return Buffer.concat([prefix, text, padding]);
}

/**
 * Reads a file; the values are copies. Throws `SafetensorsFault` on anything irregular. Tensors
 * whose names `isSkipped` are left out, and may be of any type.
 */
export function decodeSafetensors(
  file: Uint8Array,
  isSkipped = (_name: string): boolean => false,
): SafetensorsFile {
  const { header, dataStart } = readHeader(file);
  const { __metadata__: metadata = {}, ...entries } = header;
  const slices = Object.entries(entries).map(([name, entry]) =>
    readEntry(name, entry, isSkipped(name)),
  );
  requireNoGaps(slices, file.byteLength - dataStart);
  const tensors = new Map<string, NamedTensor>();
  for (const { name, shape, start, end } of slices) {
    if (isSkipped(name)) continue;
    const data = new Float32Array((end - start) / 4);
    new Uint8Array(data.buffer).set(file.subarray(dataStart + start, dataStart + end));
    tensors.set(name, { name, shape, data });
  }
  return { metadata: readMetadata(metadata), tensors };
}

function readHeader(file: Uint8Array): { header: Record<string, unknown>; dataStart: number } {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.length < prefixBytes) throw new SafetensorsFault(`${bytes.length} bytes are too few`);
  const length = bytes.readBigUInt64LE(0);
  const most = Math.min(maxHeaderBytes, bytes.length - prefixBytes);
  if (length < 2n || length > BigInt(most))
    throw new SafetensorsFault(`a header of ${length} bytes, at most ${most} can be`);
  const dataStart = prefixBytes + Number(length);
  const text = bytes.toString('utf8', prefixBytes, dataStart);
  if (!text.startsWith('{')) throw new SafetensorsFault('the header does not start with {');
  try {
    return { header: parseJson(text) as Record<string, unknown>, dataStart };
  } catch (error) {
    const isDeep = error instanceof TooDeep;
    throw new SafetensorsFault(`the header is not JSON${isDeep ? `: ${error.message}` : ''}`);
  }
}

interface FileSlice {
  readonly name: string;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function readEntry(name: string, entry: unknown, isSkipped: boolean): FileSlice {
  const fault = (what: string): SafetensorsFault =>
    new SafetensorsFault(`tensor ${JSON.stringify(name.slice(0, 100))}: ${what}`);
  if (typeof entry !== 'object' || entry === null) throw fault('its entry is no object');
  const { dtype, shape, data_offsets: offsets, ...rest } = entry as Record<string, unknown>;
  if (Object.keys(rest).length > 0) throw fault(`unknown key ${Object.keys(rest)[0]}`);
  if (dtype !== 'F32' && !isSkipped)
    throw fault(
      `type ${typeof dtype === 'string' ? clip(dtype, 50) : 'unknown'}; only F32 is read`,
    );
  if (!Array.isArray(shape) || shape.length > maxRank || !shape.every(isCount))
    throw fault('its shape is none');
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    throw fault('its offsets are none');
  const [start, end] = offsets as [number, number];
  if (end < start || (!isSkipped && end - start !== sizeOf(shape) * 4))
    throw fault(`shape [${shape.join(', ')}] does not take ${end - start} bytes`);
  return { name, shape, start, end };
}

function requireNoGaps(slices: readonly FileSlice[], dataBytes: number): void {
  const byPlace = [...slices].sort((a, b) => a.start - b.start || a.end - b.end);
  let at = 0;
  for (const { name, start, end } of byPlace) {
    if (start !== at)
      throw new SafetensorsFault(`tensor ${name} starts at ${start}, not at ${at}: gap or overlap`);
    at = end;
  }
  if (at !== dataBytes)
    throw new SafetensorsFault(`its tensors take ${at} bytes, but ${dataBytes} follow the header`);
}

function readMetadata(value: unknown): Record<string, string> {
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isRecord || Object.values(value).some((item) => typeof item !== 'string'))
    throw new SafetensorsFault('its metadata are not texts by name');
  return value as Record<string, string>;
}
