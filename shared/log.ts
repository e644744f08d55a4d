// The log: one JSON line a fact, to stderr, written by edges only. Secrets never reach a line:
// fields with a secret's name are left out, and what looks like one inside a text is masked.

import { pino, type DestinationStream } from 'pino';
import type { LogLevel } from './environment.js';
import { maskSecrets } from './problems.js';

/** What a fact is about: numbers, names, reasons. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes one line a fact, in the order of the calls. */
export interface Log {
  /** What happens often, for finding a fault. */
  debug(fact: string, fields?: LogFields): void;
  /** What an operator wants to see of a run that goes well. */
  info(fact: string, fields?: LogFields): void;
  /** Something was lost, refused or put off. */
  warn(fact: string, fields?: LogFields): void;
}

const secretFields = [
  'accessKeyId',
  'secretAccessKey',
  'sessionToken',
  'credentials',
  'authorization',
  'Authorization',
  'password',
  'token',
];

export interface LogOptions {
  /** Which program writes: "coordinator", "worker". */
  readonly name: string;
  readonly level: LogLevel;
  /** Fields of every line, for example the worker's id. */
  readonly fields?: LogFields;
  /** Where lines go; stderr when not given. Written synchronously, so that none is lost. */
  readonly destination?: DestinationStream;
}

/** Creates the log of a process or a thread; lines below `level` are not written. */
export function createLog({ name, level, fields, destination }: LogOptions): Log {
  const logger = pino(
    {
      ...{ name, level, base: { pid: process.pid, ...fields } },
      redact: {
        paths: secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]),
        remove: true,
      },
      hooks: { streamWrite: maskSecrets },
    },
    destination ?? pino.destination({ dest: 2, sync: true }),
  );
  return {
    debug: (fact, values = {}) => logger.debug(values, fact),
    info: (fact, values = {}) => logger.info(values, fact),
    warn: (fact, values = {}) => logger.warn(values, fact),
  };
}

/** Writes a fact and its fields. */
export type WriteFact = (fact: string, fields?: LogFields) => void;

/** Lines of one fact that are written of a period, how long that is, and facts that are told. */
const sparing = { lines: 4, periodMs: 60_000, facts: 32 } as const;

/**
 * For facts that strangers cause: of each the first lines of a minute are written, and at its end
 * how many there were beside, with the last one's fields. So a flood leaves few lines.
 */
export function writeSparingly(
  write: WriteFact,
  lines: number = sparing.lines,
  periodMs: number = sparing.periodMs,
): WriteFact {
  const periods = new Map<string, { lines: number; unsaid: number; last: LogFields }>();
  return (fact, fields = {}) => {
    const period = periods.get(fact);
    if (period === undefined) {
      // Facts are the program's own words: there are a few.
      if (periods.size >= sparing.facts) return;
      const begun = { lines: 1, unsaid: 0, last: fields };
      periods.set(fact, begun);
      setTimeout(() => {
        periods.delete(fact);
        const { unsaid, last } = begun;
        if (unsaid > 0) write(fact, { ...last, unsaid: unsaid - 1 });
      }, periodMs).unref();
      return write(fact, fields);
    }
    period.lines += 1;
    if (period.lines <= lines) return write(fact, fields);
    period.unsaid += 1;
    period.last = fields;
  };
}

/**
 * Hears who was turned away, and why, in the program's own words; `detail` may be in those of a
 * library.
 */
export type OnRefused = (address: string, reason: string, detail?: string) => void;

/** Writes who was turned away; strangers come often, so `warn` should write sparingly. */
export function writeRefusals(warn: WriteFact): OnRefused {
  return (address, reason, detail) => warn(`connection ended: ${reason}`, { address, detail });
}
