// Prometheus' own judge of metrics and rules (Debian's package `prometheus`). Tests that need it
// skip by name where it is not installed.

import { spawnSync } from 'node:child_process';

/** Runs it with a text on stdin; gives its exit code and all that it printed. */
export function promtool(
  args: readonly string[],
  input = '',
): { readonly code: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  return { code: status, said: `${stdout}${stderr}` };
}

/** For `{ skip }` of a test. */
export const withoutPromtool: false | string =
  spawnSync('promtool', ['--version']).status === 0
    ? false
    : "no promtool: install Debian's package prometheus";
