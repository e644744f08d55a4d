// The engines and providers of this machine, each tried in a process of its own.

import { cpus } from 'node:os';
import type { Gpu } from '../gpu/devices.js';
import { probe } from '../probe/probe.js';
import type { TrialRequest } from '../probe/trial.js';
import { judged, type Finding } from './finding.js';

type Candidate = Pick<TrialRequest, 'engine' | 'provider'> & {
  /** It comes with npm's packages, and must work. */
  readonly isNeeded: boolean;
};

/** Processors and GPUs by name. */
export function examineDevices(gpus: readonly Gpu[]): Finding[] {
  const processors = cpus();
  return [
    judged('processors', true, `${processors.length} of ${processors[0]?.model.trim() ?? '?'}`),
    gpus.length === 0
      ? { what: 'GPUs', state: 'absent', detail: 'nvidia-smi lists none' }
      : judged('GPUs', true, gpus.map(({ id, name }) => `${id}: ${name}`).join('; ')),
  ];
}

/** Every engine on every provider that this machine could have, one after the other. */
export async function examineEngines(gpus: readonly Gpu[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const candidate of candidates(gpus.length > 0)) findings.push(await examine(candidate));
  return findings;
}

function candidates(hasGpu: boolean): Candidate[] {
  return [
    { engine: 'onnx', provider: 'cpu', isNeeded: true },
    { engine: 'onnx', provider: 'webgpu', isNeeded: false },
    ...(hasGpu ? [{ engine: 'onnx', provider: 'cuda', isNeeded: false } as const] : []),
    { engine: 'tensorflow', provider: 'cpu', isNeeded: false },
    ...(hasGpu ? [{ engine: 'tensorflow', provider: 'cuda', isNeeded: false } as const] : []),
  ];
}

async function examine({ engine, provider, isNeeded }: Candidate): Promise<Finding> {
  const what = `${engine} on ${provider}`;
  const { trial, failure } = await probe({ engine, provider, threads: 1 });
  if (trial === undefined) return { what, state: isNeeded ? 'bad' : 'absent', detail: failure };
  const { fingerprint, milliseconds, gflops } = trial;
  return judged(what, true, `${fingerprint}: ${milliseconds} ms, ${gflops} GFLOP/s`);
}
