// Python for tests that compare Lockstep with its packages: finds the interpreter that
// LOCKSTEP_TEST_PYTHON names, else python3, and runs scripts of test/python. Tests skip by name
// where a package is missing.

import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { childEnvironment, readEnvironment } from '../../shared/environment.js';
import { packageFile } from '../../shared/paths.js';

/** The interpreter that is used. */
export const pythonInterpreter = readEnvironment().test.python ?? 'python3';

/** For `{ skip }` of a test: false when Python has the modules, else the reason. */
export function skipWithoutPython(...modules: readonly string[]): false | string {
  const asked = `import importlib.util as u, sys
print(*[name for name in sys.argv[1:] if u.find_spec(name) is None])`;
  const { status, stdout } = spawnSync(pythonInterpreter, ['-c', asked, ...modules], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (status !== 0) return 'no Python: install it or set LOCKSTEP_TEST_PYTHON';
  const missing = stdout.trim().split(' ').join(', ');
  return missing === '' ? false : `Python lacks ${missing}: see test/python/requirements.txt`;
}

/**
 * Runs a script of test/python, with `input` as JSON on its stdin; gives what it prints, parsed.
 * Throws with its stderr when it fails or takes more than `limitMs`.
 */
export async function runPython(
  script: string,
  input: unknown,
  args: readonly string[] = [],
  limitMs = 300_000,
  environment: Readonly<Record<string, string | undefined>> = {},
): Promise<unknown> {
  const path = join(packageFile('test/python'), script);
  const output = await new Promise<string>((resolve, reject) => {
    const child = execFile(
      pythonInterpreter,
      [path, ...args],
      // One thread: a sum's order, and so its last digits, depend on how many there are.
      {
        env: childEnvironment({
          ...{ OMP_NUM_THREADS: '1', PYTHONDONTWRITEBYTECODE: '1' },
          ...environment,
        }),
        maxBuffer: 256 * 1024 * 1024,
        timeout: limitMs,
      },
      (error, stdout, stderr) =>
        error === null ? resolve(stdout) : reject(new Error(`${script} failed:\n${stderr}`)),
    );
    child.stdin?.on('error', () => undefined).end(JSON.stringify(input));
  });
  return JSON.parse(output);
}
