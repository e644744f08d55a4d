// JPEGs as some phones write them: sequential ones whose scan headers (SOS) name other coefficients
// than all 64. The decoder ignores these bytes (T.81, B.2.3: a sequential scan has one value for
// them), but warns, as it does of damage; written right, they leave its warnings to real damage.

/** A sequential scan has the coefficients 0 to 63, in one go. */
const allCoefficients = [0, 63, 0] as const;

const marker = { startOfImage: 0xd8, endOfImage: 0xd9, startOfScan: 0xda } as const;

/** Frames of Huffman-coded, sequential scans: baseline and extended. */
const sequentialFrames: ReadonlySet<number> = new Set([0xc0, 0xc1]);
const otherFrames: ReadonlySet<number> = new Set([
  ...[0xc2, 0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf],
]);

/** Markers without a segment: restarts, and one for arithmetic coders. */
function standsAlone(code: number): boolean {
  return code === 0x01 || (code >= 0xd0 && code <= marker.startOfImage);
}

/** The bytes, or a copy of a sequential JPEG's whose scan headers are as the standard has them. */
export function withSoundScans(bytes: Uint8Array): Uint8Array {
  if (bytes[0] !== 0xff || bytes[1] !== marker.startOfImage) return bytes;
  let sound = bytes;
  let components = 0;
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff;) {
    const code = bytes[at + 1];
    if (code === 0xff || standsAlone(code)) {
      at += code === 0xff ? 1 : 2;
      continue;
    }
    if (code === marker.endOfImage || otherFrames.has(code)) break;
    const end = at + 2 + bytes[at + 2] * 256 + bytes[at + 3];
    if (sequentialFrames.has(code)) components = bytes[at + 9] ?? 0;
    if (code === marker.startOfScan) {
      if (end > bytes.length) break;
      if (allCoefficients.some((value, i) => bytes[end - 3 + i] !== value)) {
        if (sound === bytes) sound = Uint8Array.from(bytes);
        sound.set(allCoefficients, end - 3);
      }
      // Most have all components in one scan; only then is there no other header to look for.
      if (bytes[at + 4] === components) break;
      at = nextMarker(bytes, end);
    } else at = end;
  }
  return sound;
}

/** Where a scan's data end: a 0xff that is neither stuffed nor a restart. */
function nextMarker(bytes: Uint8Array, from: number): number {
  let at = bytes.indexOf(0xff, from);
  while (at >= 0 && at + 1 < bytes.length) {
    const code = bytes[at + 1];
    if (code !== 0 && !(code >= 0xd0 && code <= 0xd7)) return at;
    at = bytes.indexOf(0xff, at + 2);
  }
  return bytes.length;
}
