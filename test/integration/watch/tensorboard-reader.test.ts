// TensorBoard itself reads what is written for it: every number and picture, by its event
// accumulator and through its server, from a folder and from a bucket.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { parseCloudEvent, toCloudEvent } from '../../../shared/events/bus.js';
import type { EventData, TypedEvent } from '../../../shared/events/kinds.js';
import { openStore } from '../../../shared/store/open-store.js';
import type { ObjectStore } from '../../../shared/store/store.js';
import { encodePng } from '../../../inference/pictures/encode.js';
import { createPicture } from '../../../inference/pictures/picture.js';
import { createTensorBoardFiles } from '../../../watch/tensorboard/event-files.js';
import { runPython, skipWithoutPython } from '../../python/run-python.js';
import { openS3Place, type S3Place } from '../../support/servers.js';
import { runIn, testFolder } from '../../support/tiny-run.js';

type Rows = Readonly<Record<string, readonly (readonly [number, unknown, number])[]>>;

interface ReadBoard {
  readonly scalars: Rows;
  readonly images: Readonly<Record<string, readonly (readonly [number, string])[]>>;
  readonly hparams: {
    readonly values: Readonly<Record<string, unknown>>;
    readonly status: number | null;
  };
}

const startMs = Date.parse('2026-11-28T12:00:00.000Z');
const timeAt = (seconds: number): string => new Date(startMs + 1000 * seconds).toISOString();

const step = (number: number, psnrLoss: number | null): TypedEvent => ({
  type: 'step.committed',
  data: {
    ...{ generation: 1, step: number, phase: 'pixel', images_per_s: 8.25, eta_s: 3 },
    metrics: { 'loss/generator': psnrLoss, mse: 0.125 },
    seconds: { data: 0, compute: 0.5, exchange: 0.25, update: 0.125, wait: 0.0625 },
  },
});

const sampleKeyOf = (number: number): string => `samples/step-0000000${number}.png`;

const sample = (number: number, psnr: number): TypedEvent => ({
  type: 'sample.written',
  data: {
    ...{ generation: 1, step: number, psnr, ssim: 0.5, bicubic_psnr: 22, bicubic_ssim: 0.75 },
    ...{ faces: 2, sample_key: sampleKeyOf(number), url: 'file:///elsewhere' },
  },
});

const finished: EventData<'run.finished'> = {
  ...{ run: 'tiny', url: '', step: 6, sha256: '', world: 1, images_per_s: 8, reason: '' },
  exit_code: 0,
};

/** A run of six steps that goes back to step 4 once, and once more under another coordinator. */
async function writeBoard(store: ObjectStore): Promise<Map<number, string>> {
  const sums = new Map<number, string>();
  for (const number of [2, 5]) {
    const png = await encodePng(createPicture(40, 10 * number, [number, 0, 0]));
    await store.put(sampleKeyOf(number), png);
    sums.set(number, createHash('sha256').update(png).digest('hex'));
  }
  const terms: TypedEvent[][] = [
    [
      ...[1, 2, 3, 4, 5, 6].map((number) => step(number, number)),
      sample(2, 20),
      sample(5, 21),
      { type: 'world.rolledBack', data: { generation: 2, step: 4, from: 6 } },
      step(5, 50),
    ],
    [step(4, 400), step(5, null), sample(5, 25), { type: 'run.finished', data: finished }],
  ];
  let seconds = 0;
  for (const [i, events] of terms.entries()) {
    const createdAt = timeAt(0);
    const board = createTensorBoardFiles({
      ...{ store, term: i + 1, clock: { after: () => () => undefined } },
      record: { format: 'lockstep-run/1', run: 'tiny', spec: runIn('/tmp'), createdAt },
      onNotice: (text) => assert.fail(text),
    });
    for (const event of events) {
      seconds += 1;
      board.add(
        parseCloudEvent(
          toCloudEvent('tiny', { ...event, id: `event-${seconds}` }, timeAt(seconds)),
        ),
      );
    }
    await board.close(10_000);
  }
  return sums;
}

function requireValues({ scalars, images }: ReadBoard, sums: ReadonlyMap<number, string>): void {
  const rows = (tag: string) => scalars[tag]?.map(([number, value]) => [number, value]);
  assert.deepEqual(rows('loss/generator'), [
    ...[1, 2, 3].map((number) => [number, number]),
    [4, 400],
    [5, null],
  ]);
  assert.deepEqual(rows('evaluation/psnr'), [
    [2, 20],
    [5, 25],
  ]);
  const lasting = {
    ...{ mse: 0.125, 'speed/images_per_s': 8.25, 'seconds/wait': 0.0625 },
    ...{ 'seconds/data': 0, 'seconds/compute': 0.5, 'seconds/exchange': 0.25 },
    ...{ 'seconds/update': 0.125 },
  };
  for (const [tag, value] of Object.entries(lasting))
    assert.deepEqual(
      rows(tag),
      [1, 2, 3, 4, 5].map((number) => [number, value]),
      tag,
    );
  const rates = rows('learning_rate/generator')?.map(([, rate]) => Number(rate).toPrecision(4));
  assert.deepEqual(rates, ['0.0005000', '0.001000', '0.0003000', '0.001000', '0.001000']);
  assert.deepEqual(
    scalars['loss/generator']?.map(([, , time]) => time - startMs / 1000).at(-1),
    12,
  );
  assert.deepEqual(
    images['samples']?.map(([number, sum]) => [number, sum]),
    [...sums],
  );
}

const skip = skipWithoutPython('tensorboard', 'boto3');

test(
  'TensorBoard reads every value of a folder, and purges what was done again',
  { skip },
  async () => {
    const folder = testFolder();
    const store = openStore(`file://${folder}`);
    const sums = await writeBoard(store);
    const input = { logdir: `${folder}/tensorboard`, server: true };
    const read = (await runPython('tensorboard_reader.py', input)) as {
      readonly accumulated: ReadBoard;
      readonly served: ReadBoard & {
        readonly hparams: { readonly hparamInfos: readonly { readonly name: string }[] };
      };
    };
    requireValues(read.accumulated, sums);
    requireValues(read.served, sums);
    const { values, status } = read.accumulated.hparams;
    const { spec } = { spec: runIn('/tmp') };
    assert.equal(values['generator.channels'], spec.generator.channels);
    assert.equal(values['phases.1.loss.features.0.layer'], 'conv32_1');
    assert.equal(values['dataset.flip'], true);
    assert.equal(status, 1);
    const names = read.served.hparams.hparamInfos.map(({ name }) => name);
    assert.ok(names.includes('optimizer.beta1'), names.join());
  },
);

test('TensorBoard reads it by a file:// url', { skip }, async () => {
  const folder = testFolder();
  const sums = await writeBoard(openStore(`file://${folder}`));
  const input = { logdir: `file://${folder}/tensorboard`, server: false };
  const read = (await runPython('tensorboard_reader.py', input)) as { accumulated: ReadBoard };
  requireValues(read.accumulated, sums);
});

let place: S3Place | undefined;
before(async () => void (skip === false && (place = await openS3Place())));
after(async () => await place?.close());

test('TensorBoard reads it from a bucket', { skip }, async (t) => {
  assert.ok(place !== undefined);
  if (!place.isComplete) return t.skip('s3rver misreads ranges');
  const url = `s3://${place.bucket}/runs/tiny`;
  const { options } = place;
  const store = openStore(url, { s3: options });
  const sums = await writeBoard(store);
  await store.close();
  const input = { logdir: `${url}/tensorboard`, server: true };
  const read = (await runPython('tensorboard_reader.py', input, [], 120_000, {
    ...{ S3_ENDPOINT: options.endpoint, AWS_ACCESS_KEY_ID: options.accessKeyId },
    ...{ AWS_SECRET_ACCESS_KEY: options.secretAccessKey, AWS_DEFAULT_REGION: 'us-east-1' },
  })) as { readonly accumulated: ReadBoard; readonly served: ReadBoard };
  requireValues(read.accumulated, sums);
  requireValues(read.served, sums);
});
