// Files that were valid, changed by somebody who means harm or by a bad disk: bytes cut, flipped,
// doubled and moved, lengths turned into the ends of their ranges; and JSON whose values, keys and
// depth are what no writer of ours would write.

import fc from 'fast-check';

/** Numbers that a length or an offset may be turned into; written in 1, 2, 4 or 8 bytes. */
const extremes = [0n, 1n, 0x7fn, 0x80n, 0xffffn, 0x7fffffffn, 0x80000000n, 0xffffffffn] as const;
const wideExtremes = [1n << 53n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n] as const;

interface ByteEdit {
  readonly kind: 'cut' | 'flip' | 'number' | 'move' | 'insert' | 'remove' | 'repeat' | 'token';
  /** Places as shares of the length. */
  readonly at: number;
  readonly to: number;
  readonly length: number;
  readonly value: bigint;
  readonly width: 1 | 2 | 4 | 8;
  readonly isLittle: boolean;
  readonly token: number;
}

const share = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const byteEdit: fc.Arbitrary<ByteEdit> = fc.record({
  kind: fc.constantFrom(
    ...(['cut', 'flip', 'flip', 'number', 'number', 'number', 'move', 'insert'] as const),
    ...(['remove', 'repeat', 'token'] as const),
  ),
  ...{ at: share, to: share, length: fc.integer({ min: 1, max: 64 }) },
  value: fc.constantFrom(...extremes, ...wideExtremes),
  width: fc.constantFrom(1, 2, 4, 8),
  isLittle: fc.boolean(),
  token: fc.nat(),
});

/** One of the samples after up to five edits; `tokens` are texts that mean much in the format. */
export function mutatedBytes(
  samples: readonly Uint8Array[],
  tokens: readonly string[] = ['\0', '\u001b[31m'],
): fc.Arbitrary<Buffer> {
  const edits = fc.array(byteEdit, { maxLength: 5 });
  return fc.tuple(fc.nat(samples.length - 1), edits).map(([sample, all]) => {
    let bytes: Buffer = Buffer.from(samples[sample]);
    for (const edit of all) bytes = edited(bytes, edit, tokens);
    return bytes;
  });
}

function edited(bytes: Buffer, edit: ByteEdit, tokens: readonly string[]): Buffer {
  const { kind, length, width } = edit;
  const at = Math.floor(edit.at * bytes.length);
  const to = Math.floor(edit.to * bytes.length);
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  const piece = bytes.subarray(to, to + length);
  if (kind === 'cut') return Buffer.from(before);
  if (kind === 'insert') return Buffer.concat([before, Buffer.alloc(length, length), after]);
  if (kind === 'remove') return Buffer.concat([before, bytes.subarray(at + length)]);
  if (kind === 'move') return Buffer.concat([before, piece, bytes.subarray(at + piece.length)]);
  if (kind === 'token')
    return Buffer.concat([before, Buffer.from(tokens[edit.token % tokens.length]), after]);
  if (kind === 'repeat')
    return Buffer.concat([before, ...Array.from({ length: 50 }, () => piece), after]);
  const changed = Buffer.from(bytes);
  if (kind === 'flip' && changed.length > 0) changed[at] ^= 1 << (length % 8);
  if (kind === 'number') writeNumber(changed, at, edit.value, width, edit.isLittle);
  return changed;
}

function writeNumber(bytes: Buffer, at: number, value: bigint, width: number, isLittle: boolean) {
  for (let i = 0; i < width && at + i < bytes.length; i++) {
    const shift = BigInt(8 * (isLittle ? i : width - 1 - i));
    bytes[at + i] = Number((value >> shift) & 0xffn);
  }
}

/** Values of the wrong type, beyond every range, or names that mean something elsewhere. */
const hostileValues: readonly unknown[] = [
  ...[null, true, 0, -1, 1.5, 1e308, -1e308, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 - 1, -0],
  ...['', '0', 'x'.repeat(3_000), '../../../etc/passwd', '/etc/passwd', 'a\0b', 'file:///etc'],
  ...['\u001b[31m\u0007\u202e', '__proto__', 'constructor', '\ud800', 's3://x/../y', 'a\r\nb'],
  ...[[], {}, new Array<number>(3_000).fill(0), [[[[[[]]]]]], { toString: 1, valueOf: null }],
  JSON.parse('{"__proto__": {"isAdmin": true}, "constructor": {"prototype": 1}}'),
  JSON.parse('['.repeat(40) + ']'.repeat(40)),
];

/** Stands in the text for what JSON.stringify would never write. */
const rawTexts: readonly string[] = [
  ...['1e999', '-1e999', '9'.repeat(400), '0.' + '1'.repeat(400), '['.repeat(100), 'NaN', '01'],
  ...['"\\ud800"', '{"a":1,"a":2}', '"\\u0000"', '['.repeat(3_000) + ']'.repeat(3_000)],
];

interface JsonEdit {
  readonly kind: 'replace' | 'delete' | 'add' | 'rename' | 'raw' | 'swap';
  readonly where: number;
  readonly other: number;
}

const jsonEdit: fc.Arbitrary<JsonEdit> = fc.record({
  kind: fc.constantFrom('replace', 'replace', 'replace', 'delete', 'add', 'rename', 'raw', 'swap'),
  ...{ where: fc.nat(), other: fc.nat() },
});

/** One of the values after up to three edits, as JSON. */
export function mutatedJson(samples: readonly unknown[]): fc.Arbitrary<string> {
  const edits = fc.array(jsonEdit, { maxLength: 3 });
  return fc.tuple(fc.nat(samples.length - 1), edits).map(([sample, all]) => {
    const holder = { root: structuredClone(samples[sample]) };
    const raws = new Map<string, string>();
    for (const edit of all) editJson(holder, edit, raws);
    let text = JSON.stringify(holder.root) ?? '';
    for (const [mark, raw] of raws) text = text.replace(`"${mark}"`, () => raw);
    return text;
  });
}

type Holder = Record<string, unknown>;

function editJson(root: Holder, { kind, where, other }: JsonEdit, raws: Map<string, string>) {
  const places = placesIn(root);
  const [holder, key] = places[where % places.length];
  const value = structuredClone(hostileValues[other % hostileValues.length]);
  if (kind === 'replace') holder[key] = value;
  else if (kind === 'delete') Reflect.deleteProperty(holder, key);
  else if (kind === 'raw') {
    const mark = `raw-${raws.size}`;
    raws.set(mark, rawTexts[other % rawTexts.length]);
    holder[key] = mark;
  } else if (kind === 'swap') {
    const [from, name] = places[other % places.length];
    holder[key] = structuredClone(from[name]);
  } else {
    const target = kind === 'add' && isHolder(holder[key]) ? holder[key] : holder;
    const names = ['__proto__', 'extra', 'constructor', '', 'a\u001bb', 'x'.repeat(5_000)];
    Object.defineProperty(target, names[other % names.length], {
      ...{ value: structuredClone(holder[key]) },
      ...{ enumerable: true, configurable: true, writable: true },
    });
    if (kind === 'rename') Reflect.deleteProperty(holder, key);
  }
}

function isHolder(value: unknown): value is Holder {
  return typeof value === 'object' && value !== null;
}

/** All places of a value: what holds each, and under which key. */
function placesIn(root: Holder): [Holder, string][] {
  const places: [Holder, string][] = [];
  const visit = (holder: Holder): void => {
    for (const key of Object.keys(holder)) {
      places.push([holder, key]);
      const value = holder[key];
      if (isHolder(value) && places.length < 2_000) visit(value);
    }
  };
  visit(root);
  return places.length > 0 ? places : [[root, 'root']];
}
