// The page about the exchange with more workers and other links, as `lockstep bench scaling` makes
// it: what to choose, where the time goes, and what it was computed from.

import { median } from '../../shared/median.js';
import { chunkBytes } from '../../shared/plan/step-vector.js';
import { markdownTable } from '../turns/turns.js';
import {
  chooseSetting,
  modelStep,
  worthFactoring,
  type Costs,
  type ExchangedModel,
  type Setting,
  type StepParts,
} from './model.js';

export interface ScalingOptions {
  readonly models: readonly ExchangedModel[];
  /** Images of a micro-shard. */
  readonly batch: number;
  readonly workers: readonly number[];
  readonly linksGbits: readonly number[];
  readonly lanes: readonly number[];
  readonly leavesPerWorker: number;
  readonly costs: Costs;
}

/** A case of the model, as printed with --json. */
export interface ScalingCase extends StepParts {
  readonly model: string;
  readonly workers: number;
  readonly linkGbits: number;
  readonly setting: Setting;
  /** Float32, nothing factored, one lane: what the step is longer by then. */
  readonly plainExposedS: number;
}

const plain: Setting = { precision: 'float32', isFactored: false, lanes: 1 };

/** The best setting of every model, number of workers and link. */
export function scalingCases(options: ScalingOptions): ScalingCase[] {
  const { models, workers: counts, linksGbits, leavesPerWorker, lanes, costs } = options;
  return models.flatMap((model) =>
    counts.flatMap((workers) =>
      linksGbits.map((linkGbits) => {
        const cluster = { workers, leavesPerWorker, linkGbits };
        const { setting, parts } = chooseSetting(model, cluster, lanes, costs);
        const plainExposedS = modelStep(model, cluster, plain, costs).exposedS;
        return { model: model.name, workers, linkGbits, setting, ...parts, plainExposedS };
      }),
    ),
  );
}

/** The page; `machine` says where and when the costs were measured. */
export function scalingPage(options: ScalingOptions, machine: string): string {
  const cases = scalingCases(options);
  const parts = options.models.flatMap((model) => {
    const own = cases.filter((one) => one.model === model.name);
    return [`## ${model.name}`, described(model), choices(own, options), ...spent(own)];
  });
  return [head(options, machine), ...parts, limits].join('\n\n') + '\n';
}

function head({ costs, batch, leavesPerWorker }: ScalingOptions, machine: string): string {
  const { grpcSecondsPerGib: grpc, sumSecondsPerGib: sums, gflops } = costs;
  const shards = leavesPerWorker === 1 ? 'one micro-shard' : `${leavesPerWorker} micro-shards`;
  const table = markdownTable([
    ['cost', 'measured'],
    [
      'gRPC, a GiB sent and received, both ends together, by a Unix socket',
      `${grpc.toFixed(2)} processor seconds`,
    ],
    ['adding a GiB of float32', `${sums.float32.toFixed(2)} s`],
    ['adding a GiB of bfloat16', `${sums.bfloat16.toFixed(2)} s`],
    ["the engine's products, one thread", `${gflops.toFixed(0)} Gflop/s`],
  ]);
  return `# The exchange with more workers

How much longer a step is for its exchange, by the number of workers and their links, and
what to choose. A model, not a measurement: the costs in the table are measured, the rest is
arithmetic (\`bench/scaling/model.ts\`, with its sources). Made by
\`npx lockstep bench scaling --out docs/scaling.md\` on ${machine}.

${table}

Each worker computes ${shards} of ${batch} images a step, so that the batch grows
with the workers, and has a core for each lane beside those that compute. bfloat16 is
\`exchange.precision\`, which changes the bytes of a run. Factored gradients are
\`exchange.factored\`: \`auto\` has them where all factors together are smaller than the gradient,
which is a matter of the batch.`;
}

function described(model: ExchangedModel): string {
  const mib = (values: number): string => ((4 * values) / 2 ** 20).toFixed(1);
  const all = `${mib(model.exact + model.gradients)} MiB of float32`;
  const factorable = worthFactoring(model, 1);
  const [largest] = [...factorable].sort((one, other) => other.a * other.b - one.a * one.b);
  if (factorable.length === 0) return `${all}, all of them summed: no gradient is worth factoring.`;
  const { rows, a, b } = largest;
  const [whole, factors] = [a * b, rows * (a + b)];
  const most = Math.ceil(whole / factors) - 1;
  return (
    `${all}, of which ${mib(whole)} are a product of [${rows}, ${a}] and [${rows}, ${b}].\n` +
    `These factors, ${mib(factors)} MiB a micro-shard, are smaller with up to ${most} micro-shards.`
  );
}

/** "factored bfloat16, 2 lanes" */
function settingWords({ precision, isFactored, lanes }: Setting): string {
  return `${isFactored ? 'factored ' : ''}${precision}, ${lanes} lane${lanes === 1 ? '' : 's'}`;
}

function seconds(value: number): string {
  return value < 0.1 ? `${(1000 * value).toFixed(0)} ms` : `${value.toFixed(2)} s`;
}

function choices(cases: readonly ScalingCase[], { linksGbits }: ScalingOptions): string {
  const counts = [...new Set(cases.map(({ workers }) => workers))];
  const rows = counts.map((workers) => {
    const own = cases.filter((one) => one.workers === workers);
    const cells = own.map(
      (one) =>
        `${seconds(one.exposedS)} (${seconds(one.plainExposedS)}): ${settingWords(one.setting)}`,
    );
    return [String(workers), ...cells];
  });
  const heading = ['workers', ...linksGbits.map((link) => `${link} Gbit/s`)];
  const note =
    'How much longer a step is with the best setting; in brackets: with float32, one lane\n' +
    'and nothing factored. Of settings within a tenth of the fastest the simplest is named.';
  return `${note}\n\n${markdownTable([heading, ...rows])}`;
}

/** Where the time goes, on the link in the middle. */
function spent(cases: readonly ScalingCase[]): string[] {
  const links = [...new Set(cases.map(({ linkGbits }) => linkGbits))];
  const link = links[Math.floor(median(links.map((_, i) => i)))];
  const rows = cases
    .filter(({ linkGbits }) => linkGbits === link)
    .map((one) => [
      ...[String(one.workers), settingWords(one.setting), (one.bytes / 2 ** 20).toFixed(0)],
      ...[one.linkS, one.grpcS, one.sumS, one.productS, one.exposedS].map(seconds),
    ]);
  const heading = ['workers', 'setting', 'MiB each way', 'link', 'gRPC a lane', 'sums a lane'];
  return [
    `Where it goes at ${link} Gbit/s, of the worker that has most to do:`,
    markdownTable([[...heading, 'products', 'longer by'], ...rows]),
  ];
}

const limits = `## What the model leaves out

- Delays: a step has a few round trips, milliseconds within a datacenter.
- Overlap with computing where a worker has several micro-shards: factors of the earlier ones are
  sent while the next are computed.
- Numbers of workers that are no power of two: some have several subtrees, and send each.
- Headers of TCP and HTTP/2, 3 to 5 % of a link; other traffic; a worker that is late.
- A GPU multiplies factors in a hundredth of the time: \`--gflops\` has its rate.

The worker that has most to do owns whole chunks of ${chunkBytes / 2 ** 10} KiB. With more workers
than chunks some own none, and the owner of one takes it from all others: its bytes grow with the
workers, and bfloat16 or factoring, which leave fewer chunks, save less than with few workers.`;
