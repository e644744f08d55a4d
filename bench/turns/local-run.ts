// A real local run for a bench: `lockstep train` as a person starts it, with its coordinator and
// workers as processes of their own, on faces that are packed for it. Its JSON lines are passed on.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { packDataset } from '../../dataset/pack.js';
import { openPictureSource } from '../../dataset/picture-source.js';
import { packageFile } from '../../shared/paths.js';
import { childEnvironment } from '../../shared/environment.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { openStore } from '../../shared/store/open-store.js';
import type { BenchLink } from '../exchange.js';

/** A line of `lockstep train --json`. */
export type TrainLine = Readonly<Record<string, unknown>>;

/** Where a bench keeps its runs; gone after it. */
export interface BenchFolder {
  readonly path: string;
  /** Of the packed faces. */
  readonly datasetUrl: string;
}

const limitMs = 1_800_000;
const keptComplaint = 2_000;

/** Has `use` work in a new folder, with the photographs of examples/faces packed. */
export async function withBenchFolder<T>(use: (folder: BenchFolder) => Promise<T>): Promise<T> {
  const path = await mkdtemp(join(tmpdir(), 'lockstep-bench-'));
  try {
    const datasetUrl = `file://${join(path, 'dataset')}`;
    const source = await openPictureSource(packageFile('examples/faces'), {});
    const target = openStore(datasetUrl, {});
    try {
      const limits = { minSize: 64, shardMib: 64, strict: false, force: false };
      await packDataset({ source, target, ...limits });
    } finally {
      await target.close();
      await source.close();
    }
    return await use({ path, datasetUrl });
  } finally {
    await rm(path, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** What makes the workers of a run talk by a link. */
interface LinkSetup {
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

async function setUpLink(folder: string, run: string, link: BenchLink): Promise<LinkSetup> {
  if (link === 'socket') return { args: [], environment: {} };
  // A directory whose path is too long for a socket: workers have to take TCP.
  const temporary = join(folder, 'x'.repeat(120));
  await mkdir(temporary, { recursive: true });
  const environment = { TMPDIR: temporary };
  if (link === 'tcp') return { args: [], environment };
  const certificates = join(folder, `${run}-tls`);
  const init = ['tls', 'init', certificates, '--run', run, '--workers', '16'];
  await promisify(execFile)(process.execPath, [packageFile('bin/lockstep.js'), ...init]);
  return { args: ['--tls-dir', certificates], environment };
}

/**
 * Trains `spec` as the run `name` in the folder, with further arguments of `lockstep train`; throws
 * with what it said unless it came to its end, or to the step at which it was to stop.
 */
export async function trainHere(
  { path }: BenchFolder,
  name: string,
  spec: RunSpec,
  args: readonly string[],
  onLine: (line: TrainLine) => void,
  link: BenchLink = 'socket',
): Promise<void> {
  const linked = await setUpLink(path, name, link);
  const file = join(path, `${name}.yaml`);
  await writeFile(file, stringify(spec));
  const command = [
    ...[packageFile('bin/lockstep.js'), 'train', '-f', file, '--run', `file://${path}/${name}`],
    ...['--http', 'off', '--no-tensorboard', '--restarts', '0', '--json', ...linked.args, ...args],
  ];
  const child = spawn(process.execPath, command, {
    ...{ stdio: ['ignore', 'pipe', 'pipe'], timeout: limitMs },
    env: childEnvironment(linked.environment),
  });
  const endWithUs = (): void => void child.kill();
  process.once('exit', endWithUs);
  let [complaint, hasEnded] = ['', false];
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-keptComplaint);
  });
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = JSON.parse(text) as TrainLine;
    if (line['kind'] === 'failed') complaint += String(line['reason']);
    hasEnded ||= line['kind'] === 'finished' || line['kind'] === 'stopped';
    onLine(line);
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  process.off('exit', endWithUs);
  const said = complaint.trim().replaceAll('\n', '; ');
  if (!hasEnded) throw new Error(`lockstep train ended with ${signal ?? code}: ${said}`);
}
