// One picture for all who ask for it, whenever they do: of a large run it takes some milliseconds
// of the process that leads the run, and it changes with each step.

import type { RunPicture } from './picture.js';

export interface RecentPicture {
  /** Made anew unless the last one is younger than twenty times what it took to make. */
  picture(): RunPicture;
  /** The next picture is the newest. */
  renew(): void;
}

/** So a twentieth of the time goes into pictures at most, however often they are asked for. */
export function createRecentPicture(newest: () => RunPicture, nowMs: () => number): RecentPicture {
  let last: { readonly picture: RunPicture; readonly untilMs: number } | undefined;
  const make = () => {
    const startMs = nowMs();
    const picture = newest();
    const endMs = nowMs();
    return { picture, untilMs: endMs + 20 * (endMs - startMs) };
  };
  return {
    picture: () => {
      if (last === undefined || nowMs() >= last.untilMs) last = make();
      return last.picture;
    },
    renew: () => (last = undefined),
  };
}
