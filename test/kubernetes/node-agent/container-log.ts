// What a container wrote, line by line with the time of each, as the kubelet keeps it. Times are
// made to differ, so that a reader can go on after the last line it has seen.

/** A line with its time, RFC 3339 with nine digits. */
export interface LogLine {
  readonly stamp: string;
  readonly text: string;
}

export interface ContainerLog {
  readonly lines: readonly LogLine[];
  /** Adds output of one stream; a line counts when it is complete. */
  write(stream: 'stdout' | 'stderr', chunk: string): void;
  /** Nothing comes any more. */
  end(): void;
  /** Calls `onLine` for each line from now on and `onEnd` at the end; returns how to stop. */
  follow(onLine: (line: LogLine) => void, onEnd: () => void): () => void;
}

/** Lines kept of a container. */
const maxLines = 50_000;

/** An empty log. */
export function createContainerLog(): ContainerLog {
  const lines: LogLine[] = [];
  const partial = { stdout: '', stderr: '' };
  const followers = new Set<{ onLine: (line: LogLine) => void; onEnd: () => void }>();
  let isEnded = false;
  let lastNs = 0n;
  const add = (text: string): void => {
    const nowNs = BigInt(Date.now()) * 1_000_000n;
    lastNs = nowNs > lastNs ? nowNs : lastNs + 1n;
    const seconds = new Date(Number(lastNs / 1_000_000n)).toISOString().slice(0, 19);
    const stamp = `${seconds}.${String(lastNs % 1_000_000_000n).padStart(9, '0')}Z`;
    lines.push({ stamp, text });
    if (lines.length > maxLines) lines.shift();
    for (const { onLine } of followers) onLine({ stamp, text });
  };
  return {
    lines,
    write(stream, chunk) {
      const parts = (partial[stream] + chunk).split('\n');
      partial[stream] = parts.pop() ?? '';
      parts.forEach(add);
    },
    end() {
      for (const rest of Object.values(partial)) if (rest !== '') add(rest);
      isEnded = true;
      for (const { onEnd } of followers) onEnd();
      followers.clear();
    },
    follow(onLine, onEnd) {
      if (isEnded) {
        onEnd();
        return () => undefined;
      }
      const follower = { onLine, onEnd };
      followers.add(follower);
      return () => void followers.delete(follower);
    },
  };
}
