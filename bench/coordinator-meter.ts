// Meters what a coordinator costs: CPU time of its decisions and of its encoding, messages, bytes.

export interface Counts {
  /** CPU microseconds of the core's decisions, and of encoding, decoding and checking. */
  readonly coreUs: number;
  readonly codecUs: number;
  readonly messagesIn: number;
  readonly messagesOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly largestOut: number;
  /** The longest time that the coordinator could not listen: microseconds of one slice of time. */
  readonly busiestUs: number;
}

export interface Meter {
  core<T>(work: () => T): T;
  codec<T>(work: () => T): T;
  received(bytes: number): void;
  sent(bytes: number): void;
  /** A slice of time is over: whatever it took was taken at a stretch. */
  endSlice(): void;
  /** What was counted since the last time. */
  take(): Counts;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const nothing: Counts = {
  coreUs: 0,
  codecUs: 0,
  messagesIn: 0,
  messagesOut: 0,
  bytesIn: 0,
  bytesOut: 0,
  largestOut: 0,
  busiestUs: 0,
};

/** Creates a meter that has counted nothing. */
export function createMeter(): Meter {
  let counts: Mutable<Counts> = { ...nothing };
  let sliceUs = 0;
  const metered = <T>(key: 'coreUs' | 'codecUs', work: () => T): T => {
    const before = process.cpuUsage();
    const result = work();
    const { user, system } = process.cpuUsage(before);
    counts[key] += user + system;
    sliceUs += user + system;
    return result;
  };
  return {
    core: (work) => metered('coreUs', work),
    codec: (work) => metered('codecUs', work),
    received: (bytes) => {
      counts.messagesIn += 1;
      counts.bytesIn += bytes;
    },
    sent: (bytes) => {
      counts.messagesOut += 1;
      counts.bytesOut += bytes;
      counts.largestOut = Math.max(counts.largestOut, bytes);
    },
    endSlice: () => {
      counts.busiestUs = Math.max(counts.busiestUs, sliceUs);
      sliceUs = 0;
    },
    take: () => {
      const taken = counts;
      counts = { ...nothing };
      return taken;
    },
  };
}
