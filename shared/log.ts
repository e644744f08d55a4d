// Logs: one JSON line a fact, to stderr, written by edges only. Secrets never reach a line: fields
// with a secret's name are left out, and what looks like one inside a text is masked.

import { pino, type DestinationStream, type Logger } from 'pino';
import type { LogLevel } from './environment.js';
import { maskSecrets } from './problems.js';

export type { Logger } from 'pino';

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

export interface LoggerOptions {
  /** Which program writes: "coordinator", "worker". */
  readonly name: string;
  readonly level: LogLevel;
  /** Fields of every line, for example the worker's id. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** Where lines go; stderr when not given. Written synchronously, so that none is lost. */
  readonly destination?: DestinationStream;
}

/** Creates a logger; `child({...})` adds fields. */
export function createLogger(options: LoggerOptions): Logger {
  return pino(
    {
      name: options.name,
      level: options.level,
      base: { pid: process.pid, ...options.fields },
      redact: {
        paths: secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]),
        remove: true,
      },
      hooks: { streamWrite: maskSecrets },
    },
    options.destination ?? pino.destination({ dest: 2, sync: true }),
  );
}
