// The files of the page that enlarges faces: the same whether a server gives them or an export
// writes them. Sources are plain JavaScript in web/; what a library brings is taken from its
// package as it is, and the tiling is that of `lockstep upscale`.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { packageFile } from '../shared/paths.js';

/** Where the model runs: on the server that the page comes from, or in the browser. */
export type ModelPlace = 'server' | 'browser';

/** What a picture may have at most; the longer side and all pixels are those of the input. */
export interface PictureLimits {
  readonly bytes: number;
  readonly pixels: number;
  readonly side: number;
}

/** Four times as wide and high, that is what every browser's canvas can hold. */
export const pictureLimits: PictureLimits = { bytes: 2 ** 25, pixels: 2 ** 20, side: 4096 };

const own = ['index.html', 'page.css', 'icon.svg', 'page.js', 'picture.js', 'bicubic.js'];
const ownByPlace = {
  server: ['server-enlarger.js'],
  browser: ['browser-enlarger.js', 'enlarging-worker.js'],
} as const satisfies Record<ModelPlace, readonly string[]>;

/** Compiled modules that know neither Node nor a browser; they keep their places. */
const shared = {
  server: [],
  browser: ['inference/enlarge.js', 'inference/upscale/backdrop.js'],
} as const;

/** By the package, and within it. */
const ofPackages = [['@picocss/pico', 'css/pico.classless.min.css']] as const;
const ofPackagesByPlace = {
  server: [],
  browser: [
    ['@tensorflow/tfjs-core', 'dist/tf-core.min.js'],
    ['@tensorflow/tfjs-converter', 'dist/tf-converter.min.js'],
    ['@tensorflow/tfjs-backend-wasm', 'dist/tf-backend-wasm.min.js'],
    ['@tensorflow/tfjs-backend-wasm', 'dist/tfjs-backend-wasm.wasm'],
    ['@tensorflow/tfjs-backend-wasm', 'dist/tfjs-backend-wasm-simd.wasm'],
  ],
} as const satisfies Record<ModelPlace, readonly (readonly [string, string])[]>;

const settingsName = 'settings.json';

/** Names of the page's files, without a model's; the one to open is the last. */
export function pageFileNames(place: ModelPlace): string[] {
  const [first = '', ...others] = [...sourcesOf(place).keys(), settingsName];
  return [...others, first];
}

/** The page's files by their names; `model` is the model's name, as people see it. */
export async function readPageFiles(
  place: ModelPlace,
  model: string,
): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const [name, path] of sourcesOf(place)) files.set(name, await readFile(path));
  const settings = { place, model, limits: pictureLimits };
  return files.set(settingsName, Buffer.from(JSON.stringify(settings)));
}

/** Paths by the names under which the page asks for the files. */
function sourcesOf(place: ModelPlace): Map<string, string> {
  const { resolve } = createRequire(import.meta.url);
  const packages = [...ofPackages, ...ofPackagesByPlace[place]];
  return new Map([
    ...[...own, ...ownByPlace[place]].map((name) => [name, packageFile(`web/${name}`)] as const),
    ...shared[place].map((name) => [name, packageFile(`dist/${name}`)] as const),
    ...packages.map(([name, file]) => {
      const path = join(dirname(resolve(`${name}/package.json`)), file);
      return [basename(file), path] as const;
    }),
  ]);
}
