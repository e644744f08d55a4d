// The generator's tensors as a plain PyTorch SRResNet has them (examples/pytorch/srresnet.py): its
// names, filters as [out, in, height, width], and the channels before a pixel shuffle in PyTorch's
// order. Both ways: for the export, and to start a run from PyTorch's weights.

import { sizeOf, type NetworkSpec } from '../../shared/layout.js';
import type { GeneratorSpec } from '../../shared/spec/schema.js';
import { generatorName } from './generator.js';

/** A tensor of the generator and what it is in PyTorch. */
export interface PytorchTensor {
  /** "generator/block0/first/filter" */
  readonly name: string;
  readonly shape: readonly number[];
  /** "residual.0.conv1.weight" */
  readonly pytorchName: string;
  readonly pytorchShape: readonly number[];
  /** Value number i of the tensor in PyTorch is number `places[i]` of ours. */
  readonly places: Uint32Array;
}

/** The tensors of a generator, parameters first, then BatchNorm's statistics. */
export function pytorchTensors(
  { upsampling }: GeneratorSpec,
  { parameters, statistics }: NetworkSpec,
): PytorchTensor[] {
  return [...parameters, ...statistics].map(({ name, shape }) => {
    const [unit, part] = partsOfName(name);
    const isShuffled = upsampling === 'pixel-shuffle' && unit.startsWith('stage');
    const outputs = shape.at(-1)!;
    const channels = Array.from({ length: outputs }, (_, channel) =>
      isShuffled && part !== 'slope' ? beforeShuffle(channel, outputs) : channel,
    );
    const [height, width, inputs] = shape;
    return {
      name,
      shape,
      pytorchName: pytorchName(unit, part),
      pytorchShape: shape.length === 4 ? [outputs, inputs, height, width] : shape,
      places: filterPlaces(channels, sizeOf(shape) / outputs, shape.length === 4 ? inputs : 1),
    };
  });
}

/** The values of a tensor in the order in which PyTorch has them. */
export function toPytorch({ places }: PytorchTensor, values: Float32Array): Float32Array {
  return Float32Array.from(places, (place) => values[place]);
}

/** The values of a tensor out of those that PyTorch has. */
export function fromPytorch({ places }: PytorchTensor, given: Float32Array): Float32Array {
  const values = new Float32Array(places.length);
  places.forEach((place, i) => (values[place] = given[i]));
  return values;
}

/** "block0/first" and "norm/scale" of "generator/block0/first/norm/scale". */
function partsOfName(name: string): [string, string] {
  const match = /^(.*?)\/(filter|bias|slope|norm\/\w+)$/.exec(name.slice(generatorName.length + 1));
  if (match === null) throw new Error(`${name} has no name in PyTorch`);
  return [match[1], match[2]];
}

/** Layers of PyTorch's network for each unit of ours; a unit has those that it needs. */
interface Layers {
  readonly convolution: string;
  readonly norm: string;
  readonly slope: string;
}

function layersOf(unit: string): Layers {
  const [, block, place] = /^block(\d+)\/(first|second)$/.exec(unit) ?? [];
  if (block !== undefined) {
    const [number, residual] = [place === 'first' ? 1 : 2, `residual.${block}`];
    return {
      convolution: `${residual}.conv${number}`,
      norm: `${residual}.bn${number}`,
      slope: `${residual}.prelu`,
    };
  }
  const [, stage] = /^stage(\d+)$/.exec(unit) ?? [];
  if (stage !== undefined) {
    const upscale = `upscale4x.${stage}`;
    return { convolution: `${upscale}.conv`, norm: `${upscale}.bn`, slope: `${upscale}.prelu` };
  }
  const name = { head: 'input', middle: 'mid', tail: 'output' }[unit];
  if (name === undefined) throw new Error(`the unit ${unit} has no name in PyTorch`);
  return { convolution: `conv_${name}`, norm: `bn_${name}`, slope: `prelu_${name}` };
}

function pytorchName(unit: string, part: string): string {
  const { convolution, norm, slope } = layersOf(unit);
  const names: Readonly<Record<string, string>> = {
    filter: `${convolution}.weight`,
    bias: `${convolution}.bias`,
    'norm/scale': `${norm}.weight`,
    'norm/offset': `${norm}.bias`,
    'norm/mean': `${norm}.running_mean`,
    'norm/variance': `${norm}.running_var`,
    slope: `${slope}.weight`,
  };
  return names[part];
}

/**
 * Our channel for PyTorch's before a shuffle by 2: TensorFlow's depthToSpace has the four pixels
 * outside and the colours inside, PyTorch's PixelShuffle the other way round.
 */
function beforeShuffle(channel: number, channels: number): number {
  const [colour, pixel] = [Math.floor(channel / 4), channel % 4];
  return (pixel * channels) / 4 + colour;
}

/** Places of [out, in, position] in [position, in, out], the outputs taken as `channels` says. */
function filterPlaces(channels: readonly number[], perOutput: number, inputs: number): Uint32Array {
  const places = new Uint32Array(channels.length * perOutput);
  const positions = perOutput / inputs;
  let at = 0;
  for (const channel of channels)
    for (let input = 0; input < inputs; input++)
      for (let position = 0; position < positions; position++, at++)
        places[at] = (position * inputs + input) * channels.length + channel;
  return places;
}
