// What the model of the exchange is fed with: the values that a spec's step exchanges, and the
// costs of this machine in processor seconds, so that other work beside does not count.

import { matMul } from '@tensorflow/tfjs-core';
import type { EngineName, RunSpec } from '../../shared/spec/schema.js';
import { createSrganTask } from '../../task/srgan/task.js';
import { createEngine } from '../../worker/engine/create-engine.js';
import { ExchangeMemory } from '../../worker/exchange/memory.js';
import { planStep } from '../../worker/training/step-plan.js';
import { benchExchange } from '../exchange.js';
import type { Costs, ExchangedModel } from './model.js';

/** What the spec's last phase exchanges in a step, with micro-shards of `batch` images. */
export function exchangedModel(name: string, spec: RunSpec, batch: number): ExchangedModel {
  const task = createSrganTask(spec);
  const { name: phase } = spec.phases.at(-1)!;
  // Of one micro-shard every product is found that can be worth it for any number.
  const alone = { ...spec, batch: { microShards: 1, size: batch } };
  const planned = planStep(task, { ...alone, exchange: { factored: 'auto' } }, task.step(phase));
  const { exact, gradients } = planned.vector.shape;
  const products = planned.update.products.map(({ rows, left, right }) => {
    return { rows, a: left, b: right };
  });
  const all = products.reduce((sum, { a, b }) => sum + a * b, gradients);
  return { name, exact, gradients: all, products };
}

/** Measures what was not given. */
export async function measureCosts(
  given: Partial<Costs>,
  engine: EngineName,
  say: (text: string) => void,
): Promise<Costs> {
  say('sums of the tree');
  const sumSecondsPerGib = given.sumSecondsPerGib ?? (await measureSums());
  say(`products of the engine ${engine}`);
  const gflops = given.gflops ?? (await measureProducts(engine));
  say('the exchange of two workers');
  const grpcSecondsPerGib =
    given.grpcSecondsPerGib ?? (await measureGrpc(sumSecondsPerGib.float32));
  return { grpcSecondsPerGib, sumSecondsPerGib, gflops };
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Processor seconds of the fastest of several calls; the first only warms up. */
async function fastest(work: () => unknown): Promise<number> {
  let least = Infinity;
  for (let i = 0; i < 8; i++) {
    const began = cpuSeconds();
    await work();
    if (i > 0) least = Math.min(least, cpuSeconds() - began);
  }
  return least;
}

async function measureSums(): Promise<Costs['sumSecondsPerGib']> {
  const bytes = 64 * 2 ** 20;
  const memory = new ExchangeMemory();
  const [left, right] = [memory.allocate(bytes), memory.allocate(bytes)];
  const { kernel } = memory;
  const scale = 2 ** 30 / bytes;
  return {
    float32: scale * (await fastest(() => kernel.sum32(left, left, right, bytes / 4))),
    bfloat16: scale * (await fastest(() => kernel.sum16(left, left, right, bytes / 2))),
  };
}

/** Of a product as the factors of 16 micro-shards of 16 images make it, on one thread. */
async function measureProducts(name: EngineName): Promise<number> {
  const [rows, a, b] = [512, 4096, 1024];
  const engine = await createEngine(name, { threads: 1 });
  const inputs = [
    { name: 'x', shape: [rows, a] },
    { name: 'y', shape: [rows, b] },
  ];
  const graph = await engine.compile(inputs, ({ x, y }) => ({ product: matMul(x, y, true) }));
  const feeds = {
    x: Float32Array.from({ length: rows * a }, (_, i) => (i % 251) / 251),
    y: Float32Array.from({ length: rows * b }, (_, i) => (i % 241) / 241),
  };
  const product = new Float32Array(a * b);
  const seconds = await fastest(() => graph.run(feeds, { product }));
  await graph.close();
  await engine.close();
  return (2 * rows * a * b) / seconds / 1e9;
}

/** Of all workers for a GiB that one sends and another receives, without the sums. */
async function measureGrpc(sumSecondsPerGib: number): Promise<number> {
  const mib = 95;
  const { cpu_s: seconds } = await benchExchange({
    ...{ workers: 2, mib, precision: 'float32', lanes: 1, link: 'socket' },
    ...{ steps: 10, warmUp: 3 },
  });
  // Each sends half of its vector, adds the half that it takes, and sends the half that it owns.
  const [movedGib, addedGib] = [(2 * mib) / 1024, mib / 1024];
  return Math.max(0, seconds - addedGib * sumSecondsPerGib) / movedGib;
}
