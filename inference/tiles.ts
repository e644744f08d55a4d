// How a picture is cut into tiles: cores that cover it without overlap, each with a margin of
// pixels that its output depends on, cut off at the picture's own border (where the network pads
// as it does for the whole picture). Pure geometry in input pixels.

/** Half-open interval [start, end). */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** One interval of a side: what is kept of it, and what has to be read for that. */
export interface TileSpan {
  readonly core: Span;
  readonly read: Span;
}

/**
 * Cuts a side into as few cores as possible of at most `tile` pixels, of nearly equal length, each
 * read with `margin` pixels more on both sides. A side is cut only when it has to be: one that
 * fits into a core with its margins stays whole.
 */
export function cutSide(length: number, tile: number, margin: number): TileSpan[] {
  const count = length <= tile + 2 * margin ? 1 : Math.ceil(length / tile);
  const border = (i: number) => Math.floor((i * length) / count);
  return Array.from({ length: count }, (_, i) => {
    const core = { start: border(i), end: border(i + 1) };
    return {
      core,
      read: { start: Math.max(0, core.start - margin), end: Math.min(length, core.end + margin) },
    };
  });
}

/** Pixels of a span. */
export function spanLength({ start, end }: Span): number {
  return end - start;
}
