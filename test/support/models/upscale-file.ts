// Upscales one file, as the command does.

import { loadNetwork } from '../../../inference/onnx-network.js';
import {
  formatLike,
  formatOfName,
  type OutputForm,
} from '../../../inference/upscale/output-format.js';
import { readPicture } from '../../../inference/upscale/picture-file.js';
import {
  upscalePicture,
  type UpscaleJob,
  type UpscaleResult,
} from '../../../inference/upscale/upscale.js';

/** What a test changes; `model` is the name of one that ships, or a file. */
export interface FileChanges extends Pick<UpscaleJob, 'tile' | 'onTile' | 'signal'> {
  readonly model: string;
  readonly isForced: boolean;
  readonly form: Partial<OutputForm>;
}

/** Writes `input`, enlarged, to `output` in the format of its name. */
export async function upscaleFile(
  input: string,
  output: string,
  { model = '', isForced = false, form, ...job }: Partial<FileChanges>,
): Promise<UpscaleResult> {
  const network = await loadNetwork(model, 1);
  try {
    return await upscalePicture({
      ...{ tile: 192, network, input: await readPicture(input) },
      place: { path: output, isForced, key: 'output' },
      form: (read) => ({ format: formatOfName(output) ?? formatLike(read), ...form }),
      ...job,
    });
  } finally {
    await network.close();
  }
}
