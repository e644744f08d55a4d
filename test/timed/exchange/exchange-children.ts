// Workers of the exchange in processes of their own, and the means to end or freeze them.

import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import type { ChildReport } from './exchange-child.js';

/** A worker in a process of its own. */
export interface Child {
  readonly process: ChildProcess;
  readonly address: string;
  /** The next report of a kind. */
  next(kind: ChildReport['kind']): Promise<ChildReport>;
}

async function startChild(): Promise<Child> {
  const script = fileURLToPath(new URL('./exchange-child.js', import.meta.url));
  const child = fork(script);
  const reports: ChildReport[] = [];
  child.on('message', (report: ChildReport) => {
    reports.push(report);
    child.emit('report');
  });
  const next = async (kind: ChildReport['kind']): Promise<ChildReport> => {
    const deadline = AbortSignal.timeout(20_000);
    for (;;) {
      const index = reports.findIndex((report) => report.kind === kind);
      if (index >= 0) return reports.splice(index, 1)[0];
      await once(child, 'report', { signal: deadline });
    }
  };
  const hello = await next('address');
  assert.ok(hello.kind === 'address');
  return { process: child, address: hello.address, next };
}

/** Starts children, runs `body`, and kills them whatever happens. */
export async function withChildren(
  count: number,
  body: (children: readonly Child[]) => Promise<void>,
): Promise<void> {
  const children = await Promise.all(Array.from({ length: count }, startChild));
  try {
    await body(children);
  } finally {
    for (const child of children) child.process.kill('SIGKILL');
  }
}
