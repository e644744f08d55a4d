// Readers of binary files: weights, pictures, models, compiled steps. Most of the work is done by
// libraries; what counts is that their mistakes stay in them.

import fc from 'fast-check';
import sharp from 'sharp';
import { decodePicture, PictureError } from '../../../dataset/decode.js';
import { attachmentChunks, uprightExif } from '../../../inference/upscale/attachments.js';
import { appendMetadata, parseMetadata, readMetadata } from '../../../inference/model-metadata.js';
import { loadModelFile } from '../../../inference/onnx-network.js';
import { decodeSafetensors, encodeSafetensors } from '../../../shared/checkpoint/safetensors.js';
import { SafetensorsFault } from '../../../shared/checkpoint/safetensors.js';
import { OperatorError } from '../../../shared/problems.js';
import { openKerasFile } from '../../../shared/weights/keras-vgg19.js';
import { openExecutable } from '../../../worker/engine/xla/stored-executable.js';
import { tinyGenerator } from '../../support/models/tiny-generator.js';
import { mutatedBytes, mutatedJson } from './mutations.js';
import type { Reader } from './reader.js';
import { storeWith } from './store.js';

const never = (): boolean => false;

const tensors = encodeSafetensors(
  [
    { name: 'a', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    { name: 'b', shape: [1], data: Float32Array.of(7) },
  ],
  { format: 'pt' },
);

/** A file whose header is some JSON, of the length that it has. */
const otherHeaders = mutatedJson([
  {
    __metadata__: { format: 'pt' },
    a: { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] },
    b: { dtype: 'F32', shape: [1], data_offsets: [24, 28] },
  },
]).map((text) => {
  const header = Buffer.from(text);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.alloc(28)]);
});

/** A VGG's first layer as Keras writes it. */
async function kerasFile(): Promise<Buffer> {
  const h5 = await import('h5wasm');
  const { FS } = await h5.ready;
  const file = new h5.File('seed.h5', 'w');
  const group = file.create_group('block1_conv1').create_group('block1_conv1');
  const data = Float32Array.from({ length: 27 * 4 }, (_, i) => i);
  group.create_dataset({ name: 'kernel:0', data, shape: [3, 3, 3, 4], dtype: '<f' });
  group.create_dataset({ name: 'bias:0', data: Float32Array.of(1, 2, 3, 4), dtype: '<f' });
  file.close();
  const bytes = Buffer.from(FS.readFile('seed.h5'));
  FS.unlink('seed.h5');
  return bytes;
}

const keras = await kerasFile();

const exif = { IFD0: { Orientation: '6', Copyright: 'x' }, IFD2: { FocalLength: '50/1' } };
const square = sharp({
  create: { width: 24, height: 16, channels: 3, background: '#c84' },
}).withExif(exif);
const pictures = await Promise.all([
  ...(['jpeg', 'png', 'webp', 'tiff', 'gif', 'avif'] as const).map((format) =>
    square.clone().toFormat(format).toBuffer(),
  ),
  square.clone().jpeg({ progressive: true }).toBuffer(),
  square.clone().tiff({ compression: 'lzw', tile: true }).toBuffer(),
]);
const exifBlock = (await sharp(pictures[0]).metadata()).exif ?? Buffer.alloc(0);

const { model } = tinyGenerator();
const foreignModel = Buffer.from(model);
const textsOnly = Buffer.from(appendMetadata(new Uint8Array(0), { 'lockstep.scale': '4' }));

const facts = { platform: 'cpu', plugin: 'p', device: 'd', options: 'o' };

/** Opens an executable of which the run's folder has these bytes, under whatever name is asked. */
async function openStored(bytes: Buffer): Promise<void> {
  const loaded: Uint8Array[] = [];
  const executable = { serialize: () => undefined, close: () => undefined };
  const compiler = {
    compile: async () => executable,
    load: async (serialized: Uint8Array) => {
      loaded.push(serialized);
      return executable;
    },
  };
  const store = { ...storeWith({}), get: async () => bytes };
  await openExecutable(compiler, 'program', facts, { executables: store });
  for (const one of loaded)
    if (!Buffer.from('machine code').equals(one)) throw new Error('other code was loaded');
}

/** What a worker stores. */
async function storedExecutable(): Promise<Buffer> {
  let stored = Buffer.alloc(0);
  const executable = {
    serialize: () => Buffer.from('machine code'),
    close: () => undefined,
  };
  const compiler = { compile: async () => executable, load: async () => executable };
  const store = {
    ...storeWith({}),
    put: async (_key: string, body: Uint8Array) => void (stored = Buffer.from(body)),
  };
  await openExecutable(compiler, 'program', facts, { executables: store });
  return stored;
}

const executable = await storedExecutable();

export const binaryReaders: readonly Reader[] = [
  {
    name: 'safetensors',
    input: fc.oneof(mutatedBytes([tensors]), otherHeaders),
    valid: [tensors],
    runs: 400,
    read: (bytes) => decodeSafetensors(bytes),
    refuses: (error) => error instanceof SafetensorsFault,
  },
  {
    name: 'weights of Keras (HDF5)',
    input: mutatedBytes([keras]),
    valid: [keras],
    runs: 80,
    read: async (bytes) => {
      const file = await openKerasFile(bytes);
      try {
        file.tensor('block1_conv1', [3, 3, 3, 4]);
        file.tensor('block1_conv1', [4]);
      } finally {
        file.close();
      }
    },
    refuses: (error) => /^it |^block1_conv1 |^unable|^can't/.test((error as Error).message),
  },
  {
    name: 'picture',
    input: mutatedBytes(pictures, ['Exif\0\0', 'ftyp', 'RIFF', '\u00ff\u00d8']),
    valid: pictures,
    runs: 200,
    read: (bytes) => decodePicture(bytes),
    refuses: (error) => error instanceof PictureError,
  },
  {
    name: 'EXIF of a picture',
    input: mutatedBytes([exifBlock]),
    valid: [exifBlock],
    runs: 400,
    read: (bytes) => {
      const size = { width: 96, height: 64 };
      const upright = uprightExif(bytes, size);
      if (upright !== undefined && upright.length > bytes.length) throw new Error('it has grown');
      attachmentChunks({ exif: bytes, xmp: bytes, icc: bytes } as never, true, size);
    },
    refuses: never,
  },
  {
    name: 'metadata of an ONNX model',
    input: mutatedBytes([textsOnly, foreignModel]),
    valid: [textsOnly, foreignModel],
    read: (bytes) => parseMetadata(readMetadata(bytes) ?? {}),
    refuses: never,
  },
  {
    name: 'ONNX model',
    input: mutatedBytes([foreignModel]),
    valid: [foreignModel],
    runs: 40,
    read: async (bytes) => {
      const network = await loadModelFile({ path: 'model.onnx', bytes }, 1);
      await network.close();
    },
    refuses: (error) => error instanceof OperatorError,
  },
  {
    name: 'compiled executable',
    input: mutatedBytes([executable]),
    valid: [executable],
    runs: 300,
    read: openStored,
    refuses: never,
  },
];
