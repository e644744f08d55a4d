// A siege of a run, step by step: an attack on all doors at once, and what must hold after it.

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import type { Attack } from './attacks.js';
import type { BesiegedRun } from './besieged-run.js';

/** What a process may grow by under all attacks: garbage too, which V8 does not give back. */
const growthMib = 512;

/** Lines that all the processes' logs may have of it together. */
const mostLines = 600;

/** Attacks all doors that it is for, at the same time; with TLS if such options are given. */
export async function attackAll(
  run: BesiegedRun,
  attack: Attack,
  t: TestContext,
  tls?: ConnectionOptions,
): Promise<void> {
  const doors = run.doors.filter(({ kind }) => attack.on.includes(kind));
  const from = run.step();
  const startedMs = performance.now();
  const outcomes = await Promise.all(
    doors.map(({ target, kind }) => attack.run({ ...target, tls }, kind)),
  );
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  outcomes.forEach(({ opened, ended, answeredBytes }, i) =>
    t.diagnostic(`${doors[i].name}: ${opened} opened, ${ended} ended, ${answeredBytes} bytes`),
  );
  t.diagnostic(`${attack.name}: ${seconds} s, ${run.step() - from} steps meanwhile`);
  if (attack.isEnded)
    outcomes.forEach(({ opened, ended }, i) =>
      assert.ok(opened === 0 || ended > 0, `${doors[i].name} has ended nobody`),
    );
}

/** The run takes steps, and no process has grown beyond its limit. */
export async function staysWell(run: BesiegedRun, t: TestContext): Promise<void> {
  await run.advances(20);
  const growth = [...run.growth()].map(([name, mib]) => `${name} ${mib.toFixed(0)}`).join(', ');
  t.diagnostic(`MiB more than at first, at most: ${growth}`);
  for (const [name, mib] of run.growth())
    assert.ok(mib < growthMib, `${name} has grown by ${mib.toFixed(0)} MiB`);
}

/** The lines of all the processes' logs, which are few. */
export function saysLittle(run: BesiegedRun, t: TestContext): string[] {
  const lines = run.said().split('\n');
  t.diagnostic(`${lines.length} lines`);
  assert.ok(lines.length < mostLines, run.said().slice(0, 20_000));
  return lines;
}
