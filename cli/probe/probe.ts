// Tries an engine in a process of its own: a driver or a library that crashes must take down
// neither `lockstep doctor` nor a set-up, and an engine's threads are set once a process.

import { spawn } from 'node:child_process';
import { z } from 'zod';
import { childEnvironment, packageFile } from '../../shared/environment.js';
import type { Trial, TrialRequest } from './trial.js';

const trialSchema = z.object({
  fingerprint: z.string(),
  milliseconds: z.number(),
  gflops: z.number(),
});

/** What came of a trial. */
export type ProbeResult =
  | { readonly trial: Trial; readonly failure?: undefined }
  | { readonly trial?: undefined; readonly failure: string };

const timeoutMs = 120_000;

/** Runs `lockstep doctor --engine` with these variables set; what the engine does is an answer. */
export async function probe(
  { engine, provider, threads }: TrialRequest,
  environment: Readonly<Record<string, string>> = {},
): Promise<ProbeResult> {
  const args = ['doctor', '--json', '--engine', engine, '--threads', String(threads)];
  if (provider !== undefined) args.push('--provider', provider);
  const child = spawn(process.execPath, [packageFile('bin/lockstep.js'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: childEnvironment(environment),
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  let [printed, said] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (printed += data.toString()));
  child.stderr.on('data', (data: Buffer) => (said += data.toString()));
  const ended = await new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(signal ?? String(code)));
  });
  if (ended !== '0') return { failure: lastWords(said) || `the process ended with ${ended}` };
  return { trial: trialSchema.parse(JSON.parse(printed)) };
}

/** What our own process said of its failure, without what native libraries said before. */
function lastWords(said: string): string {
  const own = said.lastIndexOf('lockstep: ');
  const words = own === -1 ? said : said.slice(own + 'lockstep: '.length);
  return words.trim().replace(/\s*\n\s*/g, ' ');
}
