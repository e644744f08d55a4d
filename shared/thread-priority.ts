// The priority of a thread among those that want a processor.

import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';

/**
 * What the kernel calls niceness, from 0 to 19: a thread of 5 gets a quarter of a processor where
 * one of 0 wants it as well, and all of it where none does.
 */
const niceness = 5;

/**
 * Lets the other threads have the processors before this one, and before those that it starts from
 * now on. Does nothing where the system knows no threads by number: all but Linux.
 */
export function giveWay(): void {
  try {
    // "<process>/task/<thread>"
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    if (thread > 0) setPriority(thread, niceness);
  } catch {
    // It has the priority of all others then.
  }
}
