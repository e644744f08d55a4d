// The machine that figures are measured on: its name, and the processor time of its processes.

import { readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';

/** "2 of AMD EPYC, Node v20.20.2, 2026-11-25" */
export function machineLine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processors';
  const date = new Date().toISOString().slice(0, 10);
  return `${availableParallelism()} of ${model}, Node ${process.version}, ${date}`;
}

/** User and system time of a process by Linux's account; 0 where there is none. */
export function processorSeconds(pid: number | undefined): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [, , , , , , , , , , , user, system] = text.slice(text.lastIndexOf(')')).split(' ');
    return (Number(user) + Number(system)) / 100;
  } catch {
    return 0;
  }
}
