// What this machine says of memory: how much a container may have, and whether the system has ended
// processes because there was too little. Where it says nothing, neither does this.

import { readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';

/** Where a container finds its own limit: cgroup v2, then v1. */
const limitFiles = [
  '/sys/fs/cgroup/memory.max',
  '/sys/fs/cgroup/memory/memory.limit_in_bytes',
] as const;

/** Bytes that this process may use with its group; undefined where the machine is the limit. */
export function memoryLimit(read = readText): number | undefined {
  const found = [process.constrainedMemory(), ...limitFiles.map((file) => Number(read(file)))];
  const limits = found.filter((limit) => limit > 0 && limit < totalmem());
  return limits.length === 0 ? undefined : Math.min(...limits);
}

/** How often the kernel has ended a process for want of memory since the machine started. */
export function memoryKills(read = readText): number | undefined {
  const [, count] = /^oom_kill (\d+)$/m.exec(read('/proc/vmstat')) ?? [];
  return count === undefined ? undefined : Number(count);
}

let counted = memoryKills();

/** What is known of a process that was ended by SIGKILL just now; empty where that is nothing. */
export function wordsOnKill(kills = memoryKills()): string {
  const isNew = kills !== undefined && counted !== undefined && kills > counted;
  counted = kills;
  if (!isNew) return '';
  const left = `${gib(freemem())} of ${gib(memoryLimit() ?? totalmem())} are free now`;
  const why = `the system has ended processes for want of memory (${left})`;
  return `; meanwhile ${why}: fewer workers need less`;
}

/** "1.5 GiB". */
export function gib(bytes: number): string {
  return `${(bytes / 1024 ** 3).toFixed(1)} GiB`;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
