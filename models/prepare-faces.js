// Makes the folder that the shipped models were trained on: node models/prepare-faces.js FACES OUT
//
// FACES has portraits/ (256x256) and studio/ (512x512, all framed alike) as models/README.md says
// where to get them. Every studio photograph is used whole and once more as a close-up of the
// face. A person is the name up to the last underscore, for `dataset.splitBy: identity`.

import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import sharp from 'sharp';

/** Where the face is in a studio photograph. */
const closeUp = { left: 86, top: 66, width: 340, height: 340 };

const [source, out] = process.argv.slice(2);
if (out === undefined) {
  process.stderr.write('usage: node models/prepare-faces.js FACES OUT\n');
  process.exit(64);
}
for (const folder of ['portraits', 'studio']) {
  await mkdir(join(out, folder), { recursive: true });
  const names = (await readdir(join(source, folder))).filter((name) => name.endsWith('.jpg'));
  for (const name of names) {
    const photograph = join(source, folder, name);
    await copyFile(photograph, join(out, folder, name));
    if (folder !== 'studio') continue;
    const close = join(out, folder, name.replace('.jpg', '-close.png'));
    await sharp(photograph).extract(closeUp).png().toFile(close);
  }
}
