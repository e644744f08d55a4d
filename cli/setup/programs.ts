// Runs the programs that a set-up needs. When one is missing or fails, the operator is told which,
// what it said last, and what to do.

import { spawn } from 'node:child_process';
import { childEnvironment } from '../../shared/environment.js';
import { OperatorError } from '../../shared/problems.js';

export interface ProgramOptions {
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** What to do when the program is not there. */
  readonly whenMissing: string;
  /** What to do when it fails; undefined: what it said is all there is to say. */
  readonly whenFailed?: string;
}

/** Bytes of a failed program's output that are shown. */
const shownBytes = 1500;

/** Runs a program to its end and returns what it printed; throws OperatorError. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: ProgramOptions,
): Promise<string> {
  const environment = childEnvironment(options.environment ?? {});
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: environment,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const [printed, all] = [[] as Buffer[], [] as Buffer[]];
  child.stdout.on('data', (data: Buffer) => void [printed, all].map((into) => into.push(data)));
  child.stderr.on('data', (data: Buffer) => void all.push(data));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'ENOENT' ? missing(program, options) : error),
    );
    child.once('close', resolve);
  });
  const text = (parts: Buffer[]) => Buffer.concat(parts).toString('utf8').trim();
  if (code !== 0) throw failed([program, ...args].join(' '), code, text(all), options);
  return text(printed);
}

function missing(program: string, { whenMissing }: ProgramOptions): OperatorError {
  return new OperatorError('a program is missing', [
    { key: program, given: undefined, allowed: 'a program on the PATH', hint: whenMissing },
  ]);
}

function failed(
  command: string,
  code: number | null,
  said: string,
  { whenFailed }: ProgramOptions,
): OperatorError {
  const shown = command.length > 200 ? `${command.slice(0, 200)}...` : command;
  return new OperatorError(`${shown}\nended with ${code}:\n${said.slice(-shownBytes)}`, [
    ...(whenFailed === undefined
      ? []
      : [{ key: 'set-up', given: 'a step that failed', allowed: whenFailed }]),
  ]);
}
