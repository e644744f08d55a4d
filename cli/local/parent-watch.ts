// A process of a local run does not outlive whoever started it: that one holds the other end of
// its stdin, which the system closes when it is gone, however it went.

import { exitCodes } from '../../shared/exit-codes.js';

/** Ends this process when its stdin is closed. It does not keep the process alive. */
export function exitWithParent(): void {
  const leave = (): void => process.exit(exitCodes.failed);
  process.stdin.on('end', leave).on('close', leave).on('error', leave).resume();
  process.stdin.unref();
}
