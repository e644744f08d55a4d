// A gate that lets a bounded amount of work in: so many at a time, and so many bytes together.
// Whoever waits is let in in the order of coming.

export interface Gate {
  /** Resolves when there is room. Work larger than the whole gate is let in when it is empty. */
  enter(bytes: number): Promise<void>;
  /** To be called once for each `enter`, with the same number. */
  leave(bytes: number): void;
}

/** Creates a gate for at most `maxCount` pieces of work of `maxBytes` together. */
export function createGate(maxCount: number, maxBytes: number): Gate {
  const waiting: { bytes: number; admit: () => void }[] = [];
  let count = 0;
  let inside = 0;
  const hasRoom = (bytes: number): boolean =>
    count === 0 || (count < maxCount && inside + bytes <= maxBytes);
  const admit = (): void => {
    while (waiting.length > 0 && hasRoom(waiting[0].bytes)) {
      const next = waiting.shift()!;
      count++;
      inside += next.bytes;
      next.admit();
    }
  };
  return {
    enter(bytes) {
      const entered = new Promise<void>((resolve) => waiting.push({ bytes, admit: resolve }));
      admit();
      return entered;
    },
    leave(bytes) {
      count--;
      inside -= bytes;
      admit();
    },
  };
}
