// What a failed system call of a file store means: may it pass, is it the operator's to mend, and
// in which words. Network file systems and full disks fail for a while; with patience that is
// waited for, and a command fails at once.

import { OperatorError } from '../problems.js';
import { maskSecrets } from '../secrets.js';
import { retryOptions, type PatienceOptions } from './patience.js';
import { withRetries, type RetryPolicy } from './retry.js';
import { StoreUnavailable } from './s3-errors.js';

const once: RetryPolicy = { attempts: 1, baseMs: 0, capMs: 0, totalMs: 0 };

/** A disk that is full or away, a server of files that is, and too many open files. */
const transientCodes = new Set([
  'EAGAIN',
  'EBUSY',
  'EDQUOT',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'EINTR',
  'EIO',
  'EMFILE',
  'ENFILE',
  'ENOLCK',
  'ENOSPC',
  'ENOTCONN',
  'EREMOTEIO',
  'ESTALE',
  'ETIMEDOUT',
]);

/** What the operator can mend, and how. */
const mistakes: Readonly<Record<string, string>> = {
  ENOTDIR: 'a part of the path is a file, not a folder',
  ENOENT: 'a folder can not be made there',
  EACCES: 'this user may not read or write there',
  EPERM: 'this user may not write there',
  EROFS: 'nothing can be written there: it is mounted read-only',
  ENAMETOOLONG: 'the path is too long',
  ELOOP: 'the path leads in circles',
};

export interface FileAttempts {
  /**
   * Runs `attempt` until it succeeds, fails for good, or patience ends. `what` is words: "put a".
   * `attempt` is told how many tries failed before.
   */
  run<T>(what: string, attempt: (failedTries: number) => Promise<T>): Promise<T>;
}

/** Creates the attempts of the store at `url`. */
export function createFileAttempts(url: string, options: PatienceOptions): FileAttempts {
  const retry = { ...retryOptions(url, options, once), isTransient };
  return {
    async run(what, attempt) {
      try {
        return await withRetries(what, attempt, retry);
      } catch (error) {
        throw failureOf(error, what, url);
      }
    },
  };
}

function codeOf(error: unknown): string | undefined {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return syscall === undefined ? undefined : code;
}

function isTransient(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && transientCodes.has(code);
}

/** What the caller should see; an error that is no system call's passes unchanged. */
function failureOf(error: unknown, what: string, url: string): unknown {
  const code = codeOf(error);
  if (code === undefined) return error;
  const hint = mistakes[code];
  if (hint === undefined)
    return new StoreUnavailable(
      url,
      maskSecrets(`can't ${what} in ${url}: ${(error as Error).message}`),
    );
  const allowed = 'a folder that can be made, read and written';
  return new OperatorError(`can't ${what} in ${url} (${code})`, [
    { key: 'url', given: url, allowed, hint },
  ]);
}
