// The programs of docs/models.md, run as they are printed: each makes of the same picture what the
// model's contract says.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { promisify } from 'node:util';
import type { Browser } from 'playwright-core';
import sharp from 'sharp';
import { exportOnnx, exportPytorch, exportTfjs } from '../../inference/generator.js';
import { loadNetwork } from '../../inference/onnx-network.js';
import { partsOf } from '../../shared/checkpoint/parts.js';
import { encodePart } from '../support/two-networks.js';
import { createState } from '../../shared/checkpoint/state.js';
import { childEnvironment } from '../../shared/environment.js';
import { packageFile } from '../../shared/paths.js';
import { createRandomStream } from '../../shared/random.js';
import { createSrganTask } from '../../task/srgan/task.js';
import { pythonInterpreter, skipWithoutPython } from '../python/run-python.js';
import { tinySpec } from '../support/engine/srgan-specs.js';
import { facesFolder } from '../support/pictures.js';
import { testFolder } from '../support/tiny-run.js';
import { startBrowser, withoutChromium } from './browser.js';

const run = promisify(execFile);
const folder = testFolder();
const at = (name: string): string => join(folder, name);

/** RGB bytes of what the model makes of `in.png`. */
let expected: Uint8ClampedArray;

/** Programs of the page by language, in their order. */
const programs: Record<string, string[]> = {};

before(async () => {
  const page = await readFile(packageFile('docs/models.md'), 'utf8');
  for (const [, language, text] of page.matchAll(/^```(\w+)\n([^]*?)^```$/gm))
    (programs[language] ??= []).push(text);
  await writeModels();
  await sharp(join(facesFolder, 'female', '1.jpg'))
    .resize(24, 20)
    .png()
    .toFile(at('in.png'));
  const { data } = await sharp(at('in.png')).raw().toBuffer({ resolveWithObject: true });
  const network = await loadNetwork(at('model.onnx'), 1);
  const high = await network.run(
    Float32Array.from(data, (value) => value / 255),
    20,
    24,
  );
  await network.close();
  expected = Uint8ClampedArray.from(high, (value) => (value + 1) * 127.5);
  await copyFile(packageFile('examples/pytorch/srresnet.py'), at('srresnet.py'));
  await symlink(packageFile('node_modules'), at('node_modules'));
});

/** A generator in all formats, and a file of a checkpoint where the page has it. */
async function writeModels(): Promise<void> {
  const spec = tinySpec({ generator: { skip: 'bicubic', output: 'linear' } });
  const task = createSrganTask(spec);
  const stream = createRandomStream(8);
  const state = createState(task.networks);
  const { parameters, statistics } = state.networks['generator'];
  const start = [task.initialParameters('generator', 1), task.initialStatistics('generator')];
  for (const [i, values] of [parameters, statistics].entries())
    values.set(start[i].map((value) => value + 0.1 * (stream.uniform() - 0.4)));
  await writeFile(at('model.onnx'), exportOnnx(task, parameters, statistics));
  const { topology, weights } = exportTfjs(task, parameters, statistics);
  await writeFile(at('model.json'), topology);
  await writeFile(at('weights.bin'), weights);
  const pytorch = exportPytorch(task, spec.generator, parameters, statistics);
  await writeFile(at('model.safetensors'), pytorch);
  const checkpoint = at('runs/faces/checkpoints/step-00000400');
  await mkdir(checkpoint, { recursive: true });
  const [part] = partsOf(task.networks);
  const { body } = encodePart(part, task.networks[0], state.networks['generator']);
  await writeFile(join(checkpoint, `${part.name}.safetensors`), body);
}

/** Requires a picture of the expected size, each byte within one of what is expected. */
async function requireExpected(picture: string | Buffer): Promise<void> {
  const { data, info } = await sharp(picture)
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  assert.deepEqual([info.width, info.height], [96, 80]);
  const apart = data.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
  assert.ok(apart <= 1, `${apart} of 255 apart`);
  assert.ok(new Set(data).size > 50, 'the picture is flat');
}

/** The one program of the page in that language that has these words. */
function programWith(language: string, words: string): string {
  const found = (programs[language] ?? []).filter((text) => text.includes(words));
  assert.equal(found.length, 1, words);
  return found[0];
}

async function runPythonText(text: string): Promise<string> {
  await writeFile(at('program.py'), text);
  const env = childEnvironment({ OMP_NUM_THREADS: '1' });
  const options = { cwd: folder, env, timeout: 280_000 };
  return (await run(pythonInterpreter, ['program.py'], options)).stdout;
}

for (const [title, words, modules] of [
  ['ONNX Runtime', 'import onnxruntime', ['onnxruntime', 'PIL']],
  ['PyTorch', 'import SRResNet', ['torch', 'safetensors', 'PIL']],
] as const)
  test(`Python: ${title}`, { skip: skipWithoutPython('numpy', ...modules) }, async () => {
    await runPythonText(programWith('python', words));
    await requireExpected(await readFile(at('out.png')));
  });

test('Python: a checkpoint', { skip: skipWithoutPython('safetensors', 'numpy') }, async () => {
  const text = programWith('python', 'load_file');
  assert.equal((await runPythonText(text)).trim(), '(9, 9, 3, 4)');
});

test('Node: ONNX Runtime', async () => {
  await writeFile(at('program.mjs'), programWith('js', "from 'onnxruntime-node'"));
  await run(process.execPath, ['program.mjs'], { cwd: folder, env: childEnvironment({}) });
  await requireExpected(await readFile(at('out.png')));
});

const tfjs = ['core', 'backend-cpu', 'converter'].map((part) => {
  const file = part === 'backend-cpu' ? 'tf-backend-cpu' : `tf-${part}`;
  return `node_modules/@tensorflow/tfjs-${part}/dist/${file}.min.js`;
});
const onnxWeb = ['node_modules/onnxruntime-web/dist/ort.wasm.min.js'];

for (const [title, words, scripts] of [
  ['TF.js', 'tf.loadGraphModel', tfjs],
  ['ONNX Runtime', 'onnxruntime-web', onnxWeb],
] as const) {
  const missing = scripts.find((path) => !existsSync(packageFile(path)));
  const skip = withoutChromium || (missing !== undefined && `needs ${missing}`);
  test(`the browser: ${title}`, { skip }, async (t) => {
    const text = words.startsWith('tf.')
      ? programWith('js', words)
      : programWith('js', 'new ImageData');
    const browser = await startBrowser();
    t.after(() => browser.close());
    await requireExpected(await canvasOf(browser, scripts, text));
  });
}

/** What a program has drawn in a page that has the scripts and both elements; as a PNG. */
async function canvasOf(
  browser: Browser,
  scripts: readonly string[],
  program: string,
): Promise<Buffer> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  const html = [
    '<!doctype html><img id="low" src="in.png"><canvas id="high"></canvas>',
    ...scripts.map((path) => `<script src="${path}"></script>`),
  ].join('\n');
  // Answered from the folder, without a server; elsewhere nothing is asked.
  await page.route('**/*', async (route) => {
    const path = decodeURIComponent(new URL(route.request().url()).pathname).slice(1);
    if (path === '') return route.fulfill({ body: html, contentType: 'text/html' });
    return route.fulfill({ path: at(path) });
  });
  await page.goto('http://model.test/', { waitUntil: 'load' });
  await page.evaluate(`(async () => { ${program} })()`);
  assert.deepEqual(complaints, []);
  const url = await page.evaluate("document.querySelector('#high').toDataURL('image/png')");
  return Buffer.from(String(url).split(',')[1], 'base64');
}
