// A small generator that adds something to the bicubic enlargement, as an ONNX file.

import { exportOnnx } from '../../../inference/generator.js';
import { createLayout } from '../../../shared/layout.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import { tinySpec } from '../engine/srgan-specs.js';

/** The model's bytes, and the radius of its input; `gain` is how much it adds: 10 is a lot. */
export function tinyGenerator(gain = 10): { readonly model: Uint8Array; readonly radius: number } {
  const task = createSrganTask(tinySpec({ generator: { skip: 'bicubic', output: 'linear' } }));
  const parameters = task.initialParameters('generator', 5);
  const { slices } = createLayout(task.networks[0].parameters);
  const tail = slices.find(({ name }) => name === 'generator/tail/filter')!;
  for (let i = tail.offset; i < tail.offset + tail.size; i++) parameters[i] *= gain;
  const model = exportOnnx(task, parameters, task.initialStatistics('generator'));
  return { model, radius: task.inference.radius };
}
