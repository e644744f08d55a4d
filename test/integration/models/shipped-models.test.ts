// Models that come with the package: found by name, compared with their cards, listed.

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { defaultModel, readModel, shippedModels } from '../../../inference/models.js';
import { loadNetwork } from '../../../inference/onnx-network.js';
import { OperatorError } from '../../../shared/problems.js';
import { sha256Of } from '../../../shared/sha256.js';
import { testFolder } from '../../support/tiny-run.js';

const folder = testFolder();

async function ship(name: string, content: string, change: object = {}): Promise<void> {
  const card = {
    description: 'Faces, 64 to 256',
    licence: 'MIT',
    trainedOn: 'photographs',
    scale: 4,
    bytes: content.length,
    sha256: sha256Of(content),
    metrics: { psnr: { model: 28.5, bicubic: 26.5 } },
    ...change,
  };
  await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, name, 'card.json'), JSON.stringify(card));
  await writeFile(join(folder, name, 'model.onnx'), content);
}

const refused = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof OperatorError, String(error));
  assert.match(error.message, message);
  return true;
};

test('a model is found by its name or its path, and is what its card says', async () => {
  await ship('faces-gan', 'gan');
  await ship('faces-pixel', 'pixel');
  const names = (await shippedModels(folder)).map(({ name }) => name);
  assert.deepEqual(names, ['faces-gan', 'faces-pixel']);
  const gan = await readModel(defaultModel, folder);
  assert.equal(String(gan.bytes), 'gan');
  assert.equal(gan.shipped?.card.metrics['psnr']?.model, 28.5);
  const path = join(folder, 'faces-pixel', 'model.onnx');
  const file = await readModel(path, folder);
  assert.deepEqual([String(file.bytes), file.shipped], ['pixel', undefined]);
});

test('a slip in the name, a changed file and a broken card are named', async () => {
  await ship('faces-gan', 'gan');
  await assert.rejects(readModel('face-gan', folder), refused(/do you mean faces-gan\?/));
  await assert.rejects(
    readModel('faces-gan', join(folder, 'no')),
    refused(/no such model.*export/s),
  );
  await ship('longer', 'bytes', { bytes: 9 });
  await assert.rejects(readModel('longer', folder), refused(/has 5 bytes, and its card says 9/));
  await ship('other', 'bytes', { sha256: sha256Of('bites') });
  await assert.rejects(readModel('other', folder), refused(/has not its card's SHA-256/));
  await ship('broken', 'bytes', { scale: 'four', metrics: { psnr: 3 } });
  await assert.rejects(shippedModels(folder), refused(/model broken cannot be read.*scale/s));
});

test('every model of this copy is whole, and small', async () => {
  for (const { name, card } of await shippedModels()) {
    await readModel(name);
    assert.ok(card.bytes <= 3e6, `${name}: ${card.bytes} bytes`);
  }
});

/** Pixels of low resolution a side, and those at the border that are left out. */
const [side, border] = [40, 16];

for (const { name } of await shippedModels())
  test(`${name} keeps flat grey flat: no line at the frequencies of its upsampling`, async () => {
    const network = await loadNetwork(name, 1);
    try {
      for (const grey of [0.1, 0.5, 0.9]) {
        const made = await network.run(new Float32Array(side * side * 3).fill(grey), side, side);
        // A row in the middle, one colour after the other, in [0, 1].
        for (const colour of [0, 1, 2]) {
          const row = Array.from({ length: 4 * (side - 2 * border) }, (_, x) => {
            const at = (2 * side * 4 * side + 4 * border + x) * 3 + colour;
            return (made[at] + 1) / 2;
          });
          const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
          assert.ok(Math.abs(mean - grey) < 4 / 255, `${grey} became ${mean}`);
          for (const period of [2, 4])
            assert.ok(lineAt(row, period) < 1 / 255, `${grey}: ${lineAt(row, period)}`);
        }
      }
    } finally {
      await network.close();
    }
  });

/** Amplitude of the wave of a period in a row whose length is a multiple of it. */
function lineAt(row: readonly number[], period: number): number {
  const sum = (wave: (angle: number) => number): number =>
    row.reduce((all, value, x) => all + value * wave((2 * Math.PI * x) / period), 0);
  return (2 * Math.hypot(sum(Math.cos), sum(Math.sin))) / row.length;
}

test('the line that the test looks for is found in a dot pattern', () => {
  const dots = Array.from({ length: 32 }, (_, x) => 0.5 + (x % 4 === 0 ? 0.02 : 0));
  assert.ok(lineAt(dots, 4) > 1 / 255);
  assert.ok(lineAt(new Array<number>(32).fill(0.5), 4) < 1e-12);
});
