// VGG19's weights as Keras has them ("notop", HDF5), as the network here takes them. The file is
// read in the memory of a WebAssembly module, which sees no other file.

import type { Dataset, Entity, File, Group } from 'h5wasm';
import { sizeOf } from '../layout.js';
import { clip, messageOf, printable } from '../problems.js';

/** Blue, green, red from 0 to 255, less these: what Keras's weights take. */
const kerasMean = [103.939, 116.779, 123.68];

/** The network's own colours are red, green, blue in [0, 1], less the mean, over these. */
const deviation = [0.229, 0.224, 0.225];

/** Reads tensors of these shapes by Keras's name of the layer: `block1_conv1`. */
export interface KerasFile {
  /** A filter [height, width, inputs, outputs], or a bias; throws where there is none such. */
  tensor(layer: string, shape: readonly number[]): Float32Array;
  close(): void;
}

/** Opens the bytes of a file; throws for what is no HDF5 file. */
export async function openKerasFile(bytes: Uint8Array): Promise<KerasFile> {
  const h5 = await import('h5wasm');
  const library = await h5.ready;
  const { FS } = library;
  const name = 'weights.h5';
  FS.writeFile(name, bytes);
  // Else the library prints pages about each thing that it does not find, and goes on without it.
  const strictly = <T>(action: () => T): T => {
    library.activate_throwing_error_handler();
    try {
      return action();
    } catch (error) {
      throw new Error(reasonOf(error), { cause: error });
    } finally {
      library.deactivate_throwing_error_handler();
    }
  };
  let file: File;
  try {
    file = strictly(() => new h5.File(name, 'r'));
  } catch (error) {
    FS.unlink(name);
    throw new Error(`it is no HDF5 file, or a broken one: ${messageOf(error)}`, { cause: error });
  }
  return {
    tensor: (layer, shape) => strictly(() => readTensor(file, layer, shape)),
    close: () => {
      try {
        strictly(() => file.close());
      } finally {
        FS.unlink(name);
      }
    },
  };
}

/** Of the library's report the outermost call's own line; else what the error says. */
function reasonOf(error: unknown): string {
  const text = messageOf(error);
  return printable(clip(/^ *#000: .*\(\): (.*)$/m.exec(text)?.[1] ?? text, 300));
}

/** A layer's tensor lies in its group, or in a group of the same name in that. */
function readTensor(file: File, layer: string, shape: readonly number[]): Float32Array {
  const outer = groupIn(file, layer) ?? groupIn(file, `model_weights/${layer}`);
  if (outer === undefined) throw new Error(`it has no group ${layer}`);
  const inner = groupIn(outer, layer) ?? outer;
  const found = inner
    .keys()
    .map((name) => entryIn(inner, name))
    .filter((entry): entry is Dataset => isOf(entry, 'Dataset'))
    .find((dataset) => dataset.shape?.join() === shape.join());
  if (found === undefined) throw new Error(`${layer} has no tensor of [${shape.join(', ')}]`);
  if (found.dtype !== '<f') throw new Error(`${layer} has values of another type than float32`);
  const values = found.value as Float32Array;
  if (values.length !== sizeOf(shape)) throw new Error(`${layer} has ${values.length} values`);
  return Float32Array.from(values);
}

function groupIn(parent: Group, name: string): Group | undefined {
  const found = entryIn(parent, name);
  return isOf(found, 'Group') ? (found as Group) : undefined;
}

/** Null also for what is broken. */
function entryIn(parent: Group, name: string): Entity | null {
  try {
    return parent.get(name);
  } catch {
    return null;
  }
}

function isOf(entry: Entity | null, type: string): boolean {
  return entry !== null && 'type' in entry && entry.type === type;
}

/** The mean of red, green and blue in [0, 1]. */
export function meanOfKeras(): Float32Array {
  return Float32Array.from(kerasMean, (value) => value / 255).reverse();
}

/** The first filter [3, 3, 3, outputs], for the network's colours instead of Keras's. */
export function filterForColours(filter: Float32Array): Float32Array {
  const outputs = filter.length / 27;
  return filter.map((_, i) => {
    const [tap, colour] = [Math.floor(i / (3 * outputs)), Math.floor(i / outputs) % 3];
    return filter[(tap * 3 + 2 - colour) * outputs + (i % outputs)] * 255 * deviation[colour];
  });
}
