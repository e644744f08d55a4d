// What every reader of files and messages from elsewhere owes: whatever the bytes are, it gives a
// value or refuses them with an error of its own, soon, in a text that can be shown, and without
// memory for what the bytes only claim to have.

import fc from 'fast-check';

/** A reader under test, with valid input to start from. */
export interface Reader {
  readonly name: string;
  /** Input that it takes; each must be taken unchanged. */
  readonly input: fc.Arbitrary<Buffer>;
  /** What it takes for certain. */
  readonly valid: readonly Buffer[];
  /** Reads; throws or rejects for what it refuses. */
  read(bytes: Buffer): unknown;
  /** Whether this is how it refuses; anything else is a fault of the reader. */
  refuses(error: unknown): boolean;
  /** Inputs of a quick test; fewer of a slow reader. */
  readonly runs?: number;
}

/** Time of the processor that a reader may take for a small file. */
const longestMs = 3_000;

/** Letters of a refusal; a screen or two. */
const longestText = 20_000;

/** Memory beside the heap that a read may hold: no input here is larger than a megabyte. */
const mostBytes = 192 * 1024 * 1024;

/** Throws, saying how, when the reader does to these bytes what no reader may. */
export async function requireSoundReading(
  reader: Reader,
  bytes: Buffer,
): Promise<'read' | 'refused'> {
  const startMs = processorMs();
  const before = heldBytes();
  let outcome: 'read' | 'refused' = 'read';
  try {
    await reader.read(Buffer.from(bytes));
  } catch (error) {
    if (!reader.refuses(error))
      throw new Error(`${reader.name} fell: ${show(error)}`, { cause: error });
    requireText(reader, error as Error);
    outcome = 'refused';
  }
  const ms = processorMs() - startMs;
  if (ms > longestMs) throw new Error(`${reader.name} took ${Math.round(ms)} ms`);
  const held = heldBytes() - before;
  if (held > mostBytes) throw new Error(`${reader.name} holds ${held} bytes for ${bytes.length}`);
  if (Object.hasOwn(Object.prototype, 'isAdmin')) throw new Error(`${reader.name}: prototype`);
  return outcome;
}

function requireText({ name }: Reader, { message }: Error): void {
  if (message.length > longestText) throw new Error(`${name} says ${message.length} letters`);
  // eslint-disable-next-line no-control-regex
  const control = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/.exec(message);
  if (control !== null)
    throw new Error(`${name} says a control character: ${JSON.stringify(message.slice(0, 300))}`);
  if (message === '') throw new Error(`${name} refuses and says nothing`);
}

function show(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message).slice(0, 2_000) : String(error);
}

/** What this process has computed, whatever else the machine does. */
export function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

function heldBytes(): number {
  return process.memoryUsage().arrayBuffers;
}

/** Tries a reader on inputs of a seed; the result as fast-check gives it. */
export function tryReader(
  reader: Reader,
  options: { readonly seed: number; readonly runs: number; readonly limitMs?: number },
): Promise<fc.RunDetails<[Buffer]>> {
  const property = fc.asyncProperty(reader.input, async (bytes) => {
    await requireSoundReading(reader, bytes);
  });
  return fc.check(property, {
    ...{ seed: options.seed, numRuns: options.runs, endOnFailure: false },
    ...(options.limitMs === undefined
      ? {}
      : { interruptAfterTimeLimit: options.limitMs, markInterruptAsFailure: false }),
  });
}

/** A failure in words: the seed, what happened, and the bytes that did it. */
export function describeReaderFailure(name: string, run: fc.RunDetails<[Buffer]>): string {
  const [bytes = Buffer.alloc(0)] = run.counterexample ?? [];
  const text = bytes.length > 4_096 ? `${bytes.length} bytes` : bytes.toString('base64');
  const reason = run.errorInstance instanceof Error ? run.errorInstance.message : '';
  return `${name}, seed ${run.seed}, path ${run.counterexamplePath}: ${reason}\n  base64 ${text}`;
}
