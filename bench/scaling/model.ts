// A model of a step's exchange: how long it takes N workers, each with a link of its own, from
// measured costs. Arithmetic only; what it leaves out is said on the page that is made of it.

import {
  chunkBytes,
  valueBytes,
  type ExchangePrecision,
  type StepShape,
} from '../../shared/plan/step-vector.js';

/** A gradient that is a product X^T dY of X [rows, a] and dY [rows, b], of one micro-shard. */
export interface Product {
  readonly rows: number;
  readonly a: number;
  readonly b: number;
}

/** What a model exchanges in a step, in values. */
export interface ExchangedModel {
  readonly name: string;
  /** Votes, statistics, metrics: always float32. */
  readonly exact: number;
  /** Gradients, those that are products included. */
  readonly gradients: number;
  readonly products: readonly Product[];
}

/** Costs on one core, and of the engine as it trains. */
export interface Costs {
  /** Processor seconds that gRPC takes to send and receive a GiB, both ends together. */
  readonly grpcSecondsPerGib: number;
  /** Seconds to add a GiB of vectors to others. */
  readonly sumSecondsPerGib: Readonly<Record<ExchangePrecision, number>>;
  /** Of a product of factors, 1e9 multiplications and additions a second. */
  readonly gflops: number;
}

/** How the exchange is set. */
export interface Setting {
  readonly precision: ExchangePrecision;
  readonly isFactored: boolean;
  readonly lanes: number;
}

export interface Cluster {
  readonly workers: number;
  /** Micro-shards that each worker computes in a step. */
  readonly leavesPerWorker: number;
  /** Of each worker's link, each way, in Gbit/s. */
  readonly linkGbits: number;
}

/** Seconds of a step, of the worker that has most to do; what runs side by side is not added. */
export interface StepParts {
  /** Bytes that it sends, and as many that it receives. */
  readonly bytes: number;
  readonly linkS: number;
  readonly grpcS: number;
  readonly sumS: number;
  /** Multiplying the factors of all other workers' micro-shards. */
  readonly productS: number;
  /** What the step is longer by. */
  readonly exposedS: number;
}

/** The products whose factors, of all micro-shards together, are smaller than themselves. */
export function worthFactoring(
  { products }: ExchangedModel,
  microShards: number,
): readonly Product[] {
  return products.filter(({ rows, a, b }) => microShards * rows * (a + b) < a * b);
}

/** What is summed, and gathered of each leaf, where those products are exchanged as factors. */
export function shapeOf(
  { exact, gradients }: ExchangedModel,
  factored: readonly Product[],
): StepShape {
  return {
    exact,
    gradients: factored.reduce((sum, { a, b }) => sum - a * b, gradients),
    factors: factored.reduce((sum, { rows, a, b }) => sum + rows * (a + b), 0),
  };
}

/**
 * The parts of a step.
 *
 * Sums. An all-reduce by N workers moves at least 2 (N - 1) / N of the vector, each way and by each
 * (Rabenseifner, "Optimization of Collective Reduction Operations", ICCS 2004; the factor of NCCL's
 * bus bandwidth). A worker owns whole chunks here, and the one that owns most has most to do: for
 * `o` bytes of V that it owns it takes N - 1 contributions and sends as many results, and sends and
 * takes the other V - o bytes once: V + (N - 2) o, which is 2 V (N - 1) / N where all own the same.
 *
 * Factors. They are not summed: of k micro-shards a worker sends each block to N - 1 others, so
 * that bytes, and the product of M = k N blocks, grow with N (Xie et al., "Lighter-Communication
 * Distributed Machine Learning via Sufficient Factor Broadcasting", UAI 2016; chosen by arithmetic
 * as in Zhang et al., "Poseidon", USENIX ATC 2017). Its own blocks it would have multiplied anyway.
 *
 * The link and the processor work side by side, so that the slower one counts; lanes share the
 * processor's part. Factors are multiplied as soon as they are there, beside the sums.
 */
export function modelStep(
  model: ExchangedModel,
  { workers, leavesPerWorker, linkGbits }: Cluster,
  { precision, isFactored, lanes }: Setting,
  costs: Costs,
): StepParts {
  const factored = isFactored ? worthFactoring(model, workers * leavesPerWorker) : [];
  const shape = shapeOf(model, factored);
  const width = valueBytes[precision];
  const summed = valueBytes.float32 * shape.exact + width * shape.gradients;
  const chunks = Math.ceil(summed / chunkBytes);
  const owned = (summed / chunks) * Math.ceil(chunks / workers);
  const sumBytes = workers === 1 ? 0 : summed + (workers - 2) * owned;
  const factorBytes = leavesPerWorker * (workers - 1) * width * shape.factors;

  const grpc = (bytes: number): number => (bytes / 2 ** 30) * costs.grpcSecondsPerGib;
  const link = (bytes: number): number => (bytes * 8) / (linkGbits * 1e9);
  const sumS = (((workers - 1) * owned) / 2 ** 30) * costs.sumSecondsPerGib[precision];
  const others = leavesPerWorker * (workers - 1);
  const flops = factored.reduce((sum, { rows, a, b }) => sum + 2 * others * rows * a * b, 0);
  const productS = flops / (costs.gflops * 1e9);

  const bytes = sumBytes + factorBytes;
  const gatheredS = Math.max(link(factorBytes), grpc(factorBytes) / lanes);
  const allS = Math.max(link(bytes), (grpc(bytes) + sumS) / lanes);
  return {
    ...{ bytes, linkS: link(bytes), grpcS: grpc(bytes) / lanes, sumS: sumS / lanes, productS },
    exposedS: Math.max(allS, gatheredS + productS),
  };
}

/** A setting that is simpler counts as better unless another is faster by more than this. */
const worthwhile = 0.1;

/**
 * The setting to choose: the fastest of all, and of those that are hardly slower the simplest:
 * float32 before bfloat16, then fewer lanes. Factoring costs nothing but the arithmetic.
 */
export function chooseSetting(
  model: ExchangedModel,
  cluster: Cluster,
  lanes: readonly number[],
  costs: Costs,
): { readonly setting: Setting; readonly parts: StepParts } {
  const microShards = cluster.workers * cluster.leavesPerWorker;
  const ways = worthFactoring(model, microShards).length > 0 ? [true, false] : [false];
  const all = (['float32', 'bfloat16'] as const).flatMap((precision) =>
    [...lanes]
      .sort((a, b) => a - b)
      .flatMap((count) =>
        ways.map((isFactored) => {
          const setting = { precision, isFactored, lanes: count };
          return { setting, parts: modelStep(model, cluster, setting, costs) };
        }),
      ),
  );
  const fastest = Math.min(...all.map(({ parts }) => parts.exposedS));
  const good = all.filter(({ parts }) => parts.exposedS <= (1 + worthwhile) * fastest);
  return good[0];
}
