// Named pipes for tests: a read of one waits for a writer that never comes.

import { execFileSync } from 'node:child_process';

/** Makes a named pipe (FIFO) at `path`. */
export function makePipe(path: string): void {
  execFileSync('mkfifo', [path]);
}
