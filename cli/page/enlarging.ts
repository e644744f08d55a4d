// A picture that the page's server has been given, enlarged in a process of its own.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { PictureLimits } from '../../inference/page-files.js';

/** What the process is to do; paths of files. */
export interface EnlargingJob extends PictureLimits {
  /** Also the name of one that ships. */
  readonly model: string;
  readonly input: string;
  /** A PNG that is not there yet. */
  readonly output: string;
  readonly tile: number;
  readonly threads: number;
}

/** What the process says of it. */
export type EnlargingAnswer =
  | { readonly kind: 'tile'; readonly done: number; readonly total: number }
  | { readonly kind: 'done' }
  | { readonly kind: 'problem'; readonly text: string };

/** The picture can't be enlarged; the message says why, to whoever gave it. */
export class EnlargingProblem extends Error {
  override readonly name = 'EnlargingProblem';
}

/** No picture within the limits takes so long. */
const timeoutMs = 30 * 60_000;

/**
 * Enlarges a picture in a process of its own; rejects with an EnlargingProblem, or with the reason
 * of `signal`, which ends the process at once.
 */
export async function enlargeApart(
  job: EnlargingJob,
  onTile: (done: number, total: number) => void,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const program = fileURLToPath(new URL('./enlarging-process.js', import.meta.url));
  const stdio: ('ignore' | 'ipc')[] = ['ignore', 'ignore', 'ignore', 'ipc'];
  const child = fork(program, { stdio, timeout: timeoutMs, killSignal: 'SIGKILL' });
  const kill = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  try {
    let last: EnlargingAnswer | undefined;
    child.on('message', (answer: EnlargingAnswer) => {
      if (answer.kind === 'tile') onTile(answer.done, answer.total);
      else last = answer;
    });
    const ended = new Promise<string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, by) => resolve(by === null ? `exit code ${code}` : by));
    });
    // When it has ended before it was told anything, that is said below.
    child.send(job, () => undefined);
    const ending = await ended;
    signal.throwIfAborted();
    if (last?.kind === 'problem') throw new EnlargingProblem(last.text);
    if (last?.kind !== 'done')
      throw new EnlargingProblem(
        `The process that enlarged the picture has ended (${ending}), perhaps for want of memory.`,
      );
  } finally {
    signal.removeEventListener('abort', kill);
  }
}
