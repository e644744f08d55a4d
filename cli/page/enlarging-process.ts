// A process that enlarges one picture for the page's server, as `lockstep upscale` does: what a
// stranger has sent is decoded here, and the server answers while a tile is computed. It is told
// what to do in one message, says how far it is, and ends with its parent.

import { loadNetwork } from '../../inference/onnx-network.js';
import { openPicture, readPicture } from '../../inference/upscale/picture-file.js';
import { upscalePicture } from '../../inference/upscale/upscale.js';
import { messageOf, OperatorError } from '../../shared/problems.js';
import { EnlargingProblem, type EnlargingAnswer, type EnlargingJob } from './enlarging.js';

const tell = (answer: EnlargingAnswer): void => void process.send?.(answer);

process.once('disconnect', () => process.exit());
process.once('message', (job: EnlargingJob) => {
  void enlargeFile(job)
    .catch((error: unknown) => tell({ kind: 'problem', text: problemOf(error) }))
    .finally(() => process.disconnect());
});

async function enlargeFile(job: EnlargingJob): Promise<void> {
  const input = await readPicture(job.input);
  const { width, height } = await openPicture(input);
  if (width * height > job.pixels || Math.max(width, height) > job.side)
    throw new EnlargingProblem(
      `The picture has ${width} x ${height} pixels; at most ${job.pixels} are taken, and sides ` +
        `of at most ${job.side}.`,
    );
  const onTile = (done: number, total: number): void => tell({ kind: 'tile', done, total });
  const place = { path: job.output, isForced: false, key: 'output' };
  const network = await loadNetwork(job.model, job.threads);
  try {
    const form = () => ({ format: 'png' }) as const;
    await upscalePicture({ network, input, place, form, tile: job.tile, onTile });
  } finally {
    await network.close();
  }
  tell({ kind: 'done' });
}

/** Without the list of what was given: the paths there are the server's own. */
function problemOf(error: unknown): string {
  const [text = ''] = messageOf(error).split('\n', 1);
  if (error instanceof EnlargingProblem) return text;
  const sentence = `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
  return error instanceof OperatorError ? sentence : `The picture can't be enlarged: ${sentence}`;
}
