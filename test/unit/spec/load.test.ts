// What a run spec may be: the presets are valid, and every mistake is found, named and explained.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageFile } from '../../../shared/paths.js';
import { OperatorError } from '../../../shared/problems.js';
import {
  openSpec,
  parseSpec,
  loadPreset,
  openPreset,
  presetNames,
  presetSummary,
} from '../../../shared/spec/load.js';
import { printSpec } from '../../support/tiny-run.js';
import { lastStep } from '../../../shared/spec/schema.js';

/** "key: allowed" of every problem that `f` throws. */
function problemsOf(f: () => unknown): string[] {
  try {
    f();
  } catch (error) {
    assert.ok(error instanceof OperatorError, String(error));
    return error.problems.map((problem) => `${problem.key}: ${problem.allowed}`);
  }
  throw new assert.AssertionError({ message: 'nothing was thrown' });
}

test('each preset is valid and prints as it is written, comments and all', () => {
  assert.deepEqual(presetNames(), ['demo', 'keras-gan', 'paper']);
  for (const name of presetNames()) {
    const { spec, text } = openPreset(name);
    assert.equal(spec.name, name);
    assert.equal(text, readFileSync(packageFile(`presets/${name}.yaml`), 'utf8'));
    assert.match(presetSummary(name), /^[A-Z].{20,}\.$/);
    assert.deepEqual(parseSpec(printSpec(spec), 'printed').spec, spec);
  }
});

test('the paper preset has the numbers of the paper', () => {
  const spec = loadPreset('paper');
  assert.equal(lastStep(spec), 1_200_000);
  assert.equal(spec.batch.microShards * spec.batch.size, 16);
  assert.equal(spec.dataset.crop, 96);
  assert.deepEqual(
    spec.phases.map((phase) => [phase.learningRate.generator, phase.loss.adversarial]),
    [
      [1e-4, 0],
      [1e-4, 1e-3],
      [1e-5, 1e-3],
    ],
  );
});

test('the keras-gan preset has the numbers of its model', () => {
  const spec = loadPreset('keras-gan');
  assert.equal(spec.batch.microShards * spec.batch.size, 10);
  assert.deepEqual([spec.dataset.crop, spec.dataset.crop / 4], [256, 64]);
  assert.equal(spec.generator.upsampling, 'nearest');
  assert.equal(spec.discriminator.head, 'patch');
});

test('overrides change a value in place and keep the comments', () => {
  const { spec, text } = openPreset('demo', [
    'phases.0.steps=6',
    'optimizer.beta1=0.5',
    'dataset.flip=false',
    `dataset.indexSha256=${'1'.repeat(64)}`,
    'phases.1={name: last, steps: 2, loss: {pixel: 1, adversarial: 0}, learningRate: {generator: 1e-5, discriminator: 0}}',
  ]);
  assert.equal(spec.phases[0]?.steps, 6);
  assert.equal(spec.optimizer.beta1, 0.5);
  assert.equal(spec.dataset.flip, false);
  assert.equal(spec.dataset.indexSha256, '1'.repeat(64));
  assert.deepEqual(spec.phases[1]?.loss, {
    pixel: 1,
    pixelNorm: 'mse',
    adversarial: 0,
    objective: 'bce',
  });
  assert.match(text, /flip: false # mirror every other sample/);
  assert.deepEqual(parseSpec(text, 'again').spec, spec);
});

test('a later override wins, and a list can grow by one at its end', () => {
  const phase =
    '{name: x, steps: 1, loss: {pixel: 1, adversarial: 0}, learningRate: {generator: 1, discriminator: 0}}';
  const spec = loadPreset('demo', ['seed=1', 'seed=2', `phases.3=${phase}`]);
  assert.equal(spec.seed, 2);
  assert.equal(spec.phases.length, 4);
  assert.deepEqual(
    problemsOf(() => loadPreset('demo', [`phases.5=${phase}`])),
    ['--set phases.5: an index from 0 to 3'],
  );
});

const mistakes: readonly (readonly [string, string])[] = [
  ['foo', '--set: key.path=value, for example batch.size=8'],
  ['batch.sizes=1', '--set batch.sizes: no such key; batch has microShards, size'],
  [
    'batch.size.x=1',
    '--set batch.size.x: no key below batch.size, which is a whole number from 1 to 4096',
  ],
  ['phases.steps=1', '--set phases.steps: phases is a list: use phases.0'],
  ['batch=[', '--set batch: a value that is valid YAML'],
  ['batch.size=0', '--set batch.size: a whole number from 1 to 4096'],
  ['seed=0.5', '--set seed: a whole number from 0 to 4294967295'],
  ['optimizer.beta1=.nan', '--set optimizer.beta1: a number from 0 below 1'],
  ['seed=', '--set seed: a whole number from 0 to 4294967295'],
  ['generator.skip=cubic', '--set generator.skip: none, bicubic'],
  ['dataset.crop=65', '--set dataset.crop: a whole number from 16 to 1024, a multiple of 16'],
  ['dataset.url=/data', '--set dataset.url: s3://bucket/prefix or file://folder'],
  ['phases=[]', '--set phases: a list of 1 to 16'],
  ['dataset.resize=32', '--set dataset.resize: 0, or at least dataset.crop (64)'],
  [
    'generator.upsampling=pixel-shuffle generator.upsamplingChannels=130',
    '--set generator.upsamplingChannels: a multiple of 4 when generator.upsampling is pixel-shuffle',
  ],
  [
    'generator.upsampling=nearest generator.initialization=icnr',
    '--set generator.initialization: uniform when generator.upsampling is nearest, which starts without checkerboards',
  ],
  ['phases.1.loss.realLabel=0.5', '--set phases.1.loss.realLabel: a number above 0.5 to 1'],
  [
    'checkpoint.best=psnr checkpoint.everySteps=20 evaluation.everySteps=50',
    '--set evaluation.everySteps: a multiple or a divisor of checkpoint.everySteps (20)',
  ],
  [
    'checkpoint.best=psnr evaluation.everySteps=0',
    '--set evaluation.everySteps: a multiple or a divisor of checkpoint.everySteps (250)',
  ],
  [
    'checkpoint.best=ssim dataset.testFraction=0 evaluation.everySteps=0',
    '--set checkpoint.best: left out when dataset.testFraction is 0: there would be no face to evaluate',
  ],
  ['checkpoint.best=mse', '--set checkpoint.best: psnr, ssim, identity'],
  ['phases.1.name=pixel', '--set phases.1.name: a name that no earlier phase has'],
  [
    'phases.0.loss.pixel=0',
    '--set phases.0.loss.pixel: above 0 when it is the only loss: the phase would have none',
  ],
  [
    'phases.1.learningRate.discriminator=0',
    '--set phases.1.learningRate.discriminator: above 0 when loss.adversarial is above 0',
  ],
  [
    'phases.0.learningRate.generator=0',
    '--set phases.0.learningRate.generator: above 0 when loss.adversarial is 0: nothing would learn',
  ],
  [
    'phases.1.learningRate.warmUp=201',
    '--set phases.1.learningRate.warmUp: at most 200, as phases.1.steps',
  ],
  [
    'phases.1.learningRate.steps=[{"at":200,"factor":0.5}]',
    'phases.1.learningRate.steps.0.at: 1 to 199: after the one before it, within the phase',
  ],
  [
    'phases.1.learningRate.steps=[{"at":20,"factor":0.5},{"at":20,"factor":0.5}]',
    'phases.1.learningRate.steps.1.at: 21 to 199: after the one before it, within the phase',
  ],
  [
    'phases.0.discriminatorSteps=2',
    '--set phases.0.discriminatorSteps: 1 when loss.adversarial is 0: the phase has no discriminator',
  ],
  [
    'phases.1.steps=4 phases.1.discriminatorSteps=5',
    '--set phases.1.discriminatorSteps: at most 4, as phases.1.steps: the generator would not train',
  ],
  [
    'dataset.testFraction=0',
    'evaluation.everySteps: 0 when dataset.testFraction is 0: there would be no face to evaluate',
  ],
  ['dataset.crop=1024 batch.size=100', '--set batch.size: at most 64 with this crop and width'],
  [
    'discriminator.head=dense discriminator.channels=128 discriminator.hidden=4096 dataset.crop=512',
    '--set discriminator.head: patch, or a smaller dataset.crop or discriminator.hidden',
  ],
  [
    'phases.0.steps=1000000000 batch.microShards=4096 batch.size=3000',
    'phases: at most 2^53 images over the whole run (steps x microShards x size)',
  ],
];

test('a mistake in an override, or in a relation between keys, is named with what is allowed', () => {
  for (const [overrides, expected] of mistakes)
    assert.deepEqual(
      problemsOf(() => loadPreset('demo', overrides.split(' '))),
      [expected],
    );
  assert.throws(
    () => loadPreset('demo', ['constructor.name=1']),
    /--set constructor\.name: .*no such key/,
  );
});

test('every problem is listed, of all kinds at once', () => {
  const found = problemsOf(() =>
    loadPreset('demo', ['nope=1', 'seed=-1', 'engine.name=cuda', 'phases.1.name=pixel']),
  );
  assert.deepEqual(
    found.map((problem) => problem.split(':')[0]),
    ['--set nope', '--set seed', '--set engine.name', '--set phases.1.name'],
  );
});

test('a precision is refused where the engine has none, with the engines that do', () => {
  const spec = (name: string, precision: string) =>
    loadPreset('demo', [`engine.name=${name}`, `engine.precision=${precision}`]);
  for (const [name, precision] of [
    ['onnx', 'float32'],
    ['tensorflow', 'tf32'],
    ['xla', 'tf32'],
    ['xla', 'bfloat16'],
  ] as const)
    assert.equal(spec(name, precision).engine.precision, precision);
  assert.throws(
    () => spec('onnx', 'tf32'),
    /engine\.precision.*allowed: float32 .*\(tf32 is for tensorflow, tensorflow-eager, xla\)/,
  );
  assert.throws(() => spec('tensorflow', 'bfloat16'), /bfloat16 is for xla/);
  assert.throws(() => spec('xla', 'float16'), /allowed: .*float32.*tf32.*bfloat16/);
});

test('a slip of the pen gets a suggestion', () => {
  assert.throws(
    () => loadPreset('demo', ['batch.microShard=1']),
    /did you mean batch\.microShards\?/,
  );
  assert.throws(() => loadPreset('dmo'), /allowed: demo, keras-gan, paper \(did you mean demo\?\)/);
});

const texts: readonly (readonly [string, string, RegExp])[] = [
  ['an empty text', '', /the document: given ""; allowed: a YAML map of keys/],
  ['a list', '- a', /allowed: a YAML map of keys/],
  ['a duplicate key', 'seed: 1\nseed: 2', /line 2, column 1: .*Map keys must be unique/],
  ['an alias', 'a: &x 1\nb: *x', /given "\*x"; allowed: YAML without aliases/],
  ['a second document', 'a: 1\n---\nb: 1', /valid YAML/],
  ['a prototype', '__proto__: {seed: 1}', /__proto__: given \{"seed":1\}; allowed: no such key/],
  ['too deep a nesting', '['.repeat(100_000), /allowed: valid YAML/],
  ['an unknown key deep inside', 'batch: {size: 1, microShards: 2, x: 3}', /batch\.x: given 3/],
];

test('texts that are no spec are refused with their place', () => {
  for (const [name, text, expected] of texts)
    assert.throws(() => parseSpec(text, 'run.yaml'), expected, name);
});

test('a file is read within its limit, and named in the headline', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-spec-'));
  try {
    const file = join(folder, 'run.yaml');
    writeFileSync(file, openPreset('demo').text);
    assert.deepEqual(openSpec(file).spec, loadPreset('demo'));
    assert.match(openSpec(file, ['name=mine']).text, /^name: mine # a word for people/m);
    writeFileSync(file, `${openPreset('demo').text}\n${'# x\n'.repeat(300_000)}`);
    assert.throws(
      () => openSpec(file).spec,
      /-f: given .*run\.yaml.*at most 1048576 bytes \(it has \d+ bytes/,
    );
    assert.throws(
      () => openSpec(join(folder, 'none.yaml')),
      /-f: given .*none\.yaml.*it is not there/,
    );
    assert.throws(() => openSpec(folder), /-f: given .*it is a folder/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
