// What the check times beside each other: Lockstep's engines on this machine's devices, and the
// same step in PyTorch and JAX, as far as its Python has them.

import { providers } from '../../worker/engine/engine.js';
import { packageFile } from '../../shared/paths.js';
import type { XlaProvider } from '../../worker/engine/xla/plugin.js';
import { probe } from '../../cli/engine-trial.js';

/** A command that takes --batch, --threads and --steps and prints its figures as JSON. */
export interface Contender {
  readonly name: string;
  readonly command: readonly string[];
}

export interface ContenderOptions {
  /** Flags of `bench step` that name the spec. */
  readonly spec: readonly string[];
  readonly provider: XlaProvider;
  readonly python: string;
  readonly isQuick: boolean;
  /** Runs a program; rejects when it fails. */
  run(command: readonly string[], limitSeconds: number): Promise<unknown>;
}

/** In the order of their importance: the time may not suffice for all. */
export async function contendersOf(options: ContenderOptions): Promise<Contender[]> {
  const { spec, provider, isQuick } = options;
  const own = (engine: string, on: string, precision = 'float32'): Contender => ({
    name: `${engine}/${on}/${precision}`,
    command: [
      ...[process.execPath, packageFile('bin/lockstep.js'), 'bench', 'step', '--json'],
      ...[...spec, '--engine', engine, '--provider', on, '--precision', precision],
    ],
  });
  const xla = [own('xla', provider), own('xla', provider, 'bfloat16')];
  if (isQuick) return xla.slice(0, 1);
  const python = await peersOf(options);
  const tf32 = provider === 'cpu' ? [] : [own('xla', provider, 'tf32')];
  return [...xla, ...python, ...tf32, ...(await othersOf(own))];
}

/** The other engines that compute on a GPU here. */
async function othersOf(own: (engine: string, on: string) => Contender): Promise<Contender[]> {
  const found: Contender[] = [];
  for (const engine of ['tensorflow', 'onnx'] as const)
    for (const provider of providers.filter((one) => one === 'cuda' || one === 'webgpu')) {
      const { trial } = await probe({ engine, provider, threads: 1 });
      if (trial !== undefined) found.push(own(engine, provider));
    }
  return found;
}

async function peersOf({ provider, python, run }: ContenderOptions): Promise<Contender[]> {
  const device = provider === 'cpu' ? 'cpu' : 'cuda';
  const peer = (name: string, file: string, ...args: string[]): Contender => ({
    name,
    command: [python, packageFile(`bench/peers/${file}`), '--device', device, ...args],
  });
  const has = async (module: string): Promise<boolean> => {
    const test =
      device === 'cuda' && module === 'torch' ? '; assert torch.cuda.is_available()' : '';
    return run([python, '-c', `import ${module}${test}`], 60).then(
      () => true,
      () => false,
    );
  };
  const contenders: Contender[] = [];
  if (await has('torch'))
    contenders.push(
      peer('torch eager float32', 'torch_step.py'),
      peer('torch compiled bfloat16', 'torch_step.py', '--compile', '--precision', 'bfloat16'),
      peer('torch compiled float32', 'torch_step.py', '--compile'),
    );
  if (await has('jax'))
    contenders.push(
      peer('jax float32', 'jax_step.py'),
      peer('jax bfloat16', 'jax_step.py', '--precision', 'bfloat16'),
    );
  return contenders;
}
