// The run spec: the document that defines a run completely. Same spec, same bytes at the end.
// What is not here (number of workers, addresses, bus, folders, credentials) does not change them.

import { z } from 'zod';
import type { Step } from '../words.js';
import { exchangePrecisions } from '../plan/step-vector.js';
import { featureNetworkNames } from './feature-layers.js';

const count = (max: number) => z.int().min(1).max(max);
const seed = z.int().min(0).max(0xffff_ffff);
const rate = z.number().min(0).max(1);
const name = (letters: number) =>
  z
    .string()
    .regex(new RegExp(`^[a-z][a-z0-9-]{0,${letters - 1}}$`))
    .describe(`at most ${letters} of a-z, 0-9 and -, a letter first`);

/** The compute engines; see docs/engines.md. */
export const engineNames = ['onnx', 'tensorflow', 'tensorflow-eager', 'xla'] as const;
export type EngineName = (typeof engineNames)[number];

/** What convolutions and products are computed in; parameters, sums and optimizer are float32. */
export const precisions = ['float32', 'tf32', 'bfloat16'] as const;
export type Precision = (typeof precisions)[number];

/** A folder or a file of an object store. */
const place = (what: string) =>
  z
    .string()
    .regex(/^(s3|file):\/\/.+/)
    .describe(what);
const sha256 = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .describe('64 hexadecimal digits');

/** What a best checkpoint can be chosen by. */
export const bestMetrics = ['psnr', 'ssim', 'identity'] as const;

const normalization = z.enum(['none', 'batch']);

/** The generator: head, residual blocks, upsampling by 4 in two stages, tail. */
const generatorSchema = z.strictObject({
  /** Residual blocks between head and upsampling. */
  blocks: z.int().min(0).max(64),
  /** Channels of head and blocks. */
  channels: count(512),
  normalization,
  activation: z.enum(['relu', 'prelu']),
  /** In a block: convolution, normalization, activation; or activation before normalization. */
  order: z.enum(['norm-activation', 'activation-norm']),
  upsampling: z.enum(['pixel-shuffle', 'nearest']),
  /** Output channels of each upsampling convolution (before the shuffle, if any). */
  upsamplingChannels: count(1024),
  /** `bicubic` adds the network's output to the bicubic enlargement of its input. */
  skip: z.enum(['none', 'bicubic']),
  output: z.enum(['tanh', 'linear']),
  /**
   * How filters start. `uniform`, the default; `icnr`: the four filters whose outputs a shuffle
   * puts side by side start equal, so that no checkerboard is there to be unlearned.
   */
  initialization: z.enum(['uniform', 'icnr']).optional(),
});

/** The discriminator: eight convolutions (strides 1, 2, 1, 2, ...), then a head. */
const discriminatorSchema = z.strictObject({
  /** Channels of the first pair; doubled for each of the three next pairs. */
  channels: count(128),
  normalization,
  order: z.enum(['norm-activation', 'activation-norm']),
  /** `dense`: flattened, one logit an image; `patch`: the dense layers at every position. */
  head: z.enum(['dense', 'patch']),
  /** Width of the head's hidden layer. */
  hidden: count(4096),
});

/** A range that each sample draws from, evenly. */
const range = (low: number, high: number, number = z.number()) =>
  z
    .array(number.min(low).max(high))
    .length(2)
    .refine(([from, to]) => from <= to)
    .describe(`two numbers from ${low} to ${high}, the lower one first`);

/** Each is left out where its key is; in this order. */
const degradationSchema = z.strictObject({
  /** Standard deviation of a Gaussian blur, in high-resolution pixels. */
  blur: range(0, 8).optional(),
  /** Standard deviation of Gaussian noise, in 8-bit values. */
  noise: range(0, 100).optional(),
  /** Quality of a JPEG. */
  jpeg: range(1, 100, z.int()).optional(),
});

/** Compares pictures by what a frozen network's layer says of them. */
const featureLossSchema = z.strictObject({
  network: z.enum(featureNetworkNames),
  /** As the network names it: `conv32_1`; for vgg19 `conv3_4`, or the paper's `vgg22`, `vgg54`. */
  layer: z.string().max(32).describe('the name of a layer'),
  /** Whether the layer's output is taken before or after its ReLU. */
  activation: z.enum(['before', 'after']).default('before'),
  norm: z.enum(['mse', 'mae']).default('mse'),
  /** At 1 a loss on `face` starts at about the size of the pixel loss of the bicubic picture. */
  weight: z.number().gt(0).max(1e6),
});

const phaseSchema = z.strictObject({
  name: name(32),
  steps: z.int().min(1).max(1_000_000_000),
  loss: z.strictObject({
    /** Weight of the pixel loss, and which: mean squared or mean absolute error. */
    pixel: z.number().min(0).max(1e6),
    pixelNorm: z.enum(['mse', 'mae']).default('mse'),
    /** Weight of the adversarial loss; 0 leaves the discriminator out of the phase. */
    adversarial: z.number().min(0).max(1e6),
    /** Losses on the features of frozen networks, added to the generator's; none when left out. */
    features: z.array(featureLossSchema).min(1).max(8).optional(),
    /**
     * `bce`: cross entropy on logits (the paper); `lsgan`: squares on the sigmoid; `relativistic`:
     * cross entropy on logits less the mean of the other kind's in the micro-shard (ESRGAN).
     */
    objective: z.enum(['bce', 'lsgan', 'relativistic']).default('bce'),
    /** What the discriminator is to give a real picture; 1, unless labels are smoothed. */
    realLabel: z.number().gt(0.5).max(1).optional(),
  }),
  learningRate: z.strictObject({
    generator: rate,
    discriminator: rate,
    /** Steps of the phase over which the rates rise to these, in equal parts. */
    warmUp: z.int().min(0).max(1_000_000_000).optional(),
    /** From step `at` of the phase on (from 0), both rates are multiplied by `factor`. */
    steps: z
      .array(
        z.strictObject({
          at: z.int().min(1).max(1_000_000_000),
          factor: z.number().gt(0).max(1000),
        }),
      )
      .max(64)
      .optional(),
  }),
  /** Steps of the discriminator for each of the generator's: in all others it trains alone. */
  discriminatorSteps: count(16).optional(),
});

/** The run spec, as a zod schema; unknown keys are refused. */
export const runSpecSchema = z.strictObject({
  version: z.literal(1),
  name: name(40),
  seed,
  dataset: z.strictObject({
    /** s3://bucket/prefix or file://folder, as `lockstep dataset pack` wrote it. */
    url: place('s3://bucket/prefix or file://folder'),
    /** Sum of the index, pinned when the run starts; a run on other data is another run. */
    indexSha256: sha256.optional(),
    /** Share of samples, chosen by a hash of their key, that training never sees. */
    testFraction: z.number().min(0).max(0.9),
    /** `identity` holds out all pictures of a person: `017_03` and `017_08` are of 017. */
    splitBy: z.enum(['picture', 'identity']).default('picture'),
    /** Pictures are first scaled so that their shorter side has this many pixels; 0: not. */
    resize: z.int().min(0).max(8192),
    /** Side of the square high-resolution crop, a multiple of 16. */
    crop: z.int().min(16).max(1024).multipleOf(16),
    flip: z.boolean(),
    /** What is done to the copy that the low resolution is made of, before it is reduced. */
    degradation: degradationSchema.optional(),
  }),
  batch: z.strictObject({
    /** M: micro-shards of a step; at most so many workers can share it. */
    microShards: count(4096),
    /** b: images of a micro-shard. */
    size: count(4096),
  }),
  generator: generatorSchema,
  discriminator: discriminatorSchema,
  /** Trained weights to start from; left out, all parameters come from the seed. */
  init: z
    .strictObject({
      /** A run, one of its checkpoints (RUN/checkpoints/step-00000400) or a .safetensors file. */
      generator: place('the s3:// or file:// place of a run, a checkpoint or a .safetensors file'),
      /** Sum of the checkpoint's manifest or of the file, pinned when the run starts. */
      sha256: sha256.optional(),
    })
    .optional(),
  /** The frozen networks of feature losses; their sums are pinned when the run starts. */
  featureNetworks: z
    .strictObject({
      face: z.strictObject({ sha256: sha256.optional() }).optional(),
      vgg19: z
        .strictObject({
          /** s3:// or file://: safetensors with torchvision's or timm's names, or Keras's HDF5. */
          url: z
            .string()
            .regex(/^(s3|file):\/\/.+/)
            .describe('s3://bucket/file or file://path'),
          sha256: sha256.optional(),
        })
        .optional(),
    })
    .optional(),
  optimizer: z.strictObject({
    beta1: z.number().min(0).lt(1),
    beta2: z.number().min(0).lt(1),
    /** The update is in float32, which rounds much smaller ones to 0. */
    epsilon: z.number().min(1e-30).max(1),
  }),
  /** Share of the running BatchNorm statistics that a step keeps. */
  statisticsMomentum: z.number().min(0).lt(1),
  /**
   * Decay of the average of the generator's parameters, which samples, evaluation and export use;
   * 0: none is kept.
   */
  ema: z.number().min(0).lt(1).default(0),
  phases: z.array(phaseSchema).min(1).max(16),
  /** How gradients travel between workers. */
  exchange: z
    .strictObject({
      /**
       * `auto` exchanges the factors of a gradient that is a product of two matrices, where they
       * are smaller; `never` sums all gradients. Left out: `auto` in a new run, which has it
       * written into its record, and `never` in a record without it.
       */
      factored: z.enum(['auto', 'never']).optional(),
      /** Of the gradients, every sum of them, and factors; float32 when left out. */
      precision: z.enum(exchangePrecisions).optional(),
    })
    .optional(),
  checkpoint: z.strictObject({
    everySteps: z.int().min(1).max(1_000_000_000),
    /** Newest checkpoints that are kept; older ones are deleted. */
    keep: count(1000),
    /** Besides these the best one stays, by this metric of the test faces. */
    best: z.enum(bestMetrics).optional(),
  }),
  evaluation: z.strictObject({
    /** Sample pictures and test metrics every so many steps; 0: at the end only. */
    everySteps: z.int().min(0).max(1_000_000_000),
    /** Faces in the sample picture. */
    faces: count(16),
    /** Test faces that PSNR and SSIM are taken over, at most. */
    limit: count(10_000),
  }),
  engine: z.strictObject({
    name: z.enum(engineNames),
    /** Left out: float32, which every engine has. */
    precision: z.enum(precisions).optional(),
    /** Threads of the compute engine in each worker. */
    threads: count(256),
    /** Lets workers differ in what makes the bytes: the run is then no function of its spec. */
    mixed: z.boolean().optional(),
  }),
});

export type RunSpec = z.infer<typeof runSpecSchema>;
export type DegradationSpec = z.infer<typeof degradationSchema>;
export type GeneratorSpec = RunSpec['generator'];
export type DiscriminatorSpec = RunSpec['discriminator'];
export type PhaseSpec = RunSpec['phases'][number];

/** The step that ends the run: the sum of the phases' steps. */
export function lastStep(spec: RunSpec): number {
  return spec.phases.reduce((sum, phase) => sum + phase.steps, 0);
}

/** The phase that update number `step` (from 0) belongs to; throws beyond the last. */
export function phaseAt(spec: RunSpec, step: number): PhaseSpec {
  let end = 0;
  for (const phase of spec.phases) {
    end += phase.steps;
    if (step < end) return phase;
  }
  throw new Error(`step ${step} lies beyond the spec's last step ${end}`);
}

/** Whether something that happens every `every` steps is due once `step` is committed; 0: never. */
export function isDue(every: number, step: Step): boolean {
  return every > 0 && step > 0 && step % every === 0;
}
