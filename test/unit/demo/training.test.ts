import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTrainingLine, progressNote, trainInTwoGoes } from '../../../cli/demo/training.js';
import type { runLockstep } from '../../../cli/processes.js';

interface Go {
  readonly code: number;
  readonly lines: readonly object[];
}

/** A `lockstep` that answers each call with the next of the given ends. */
function fakeLockstep(goes: readonly Go[]) {
  const calls: string[][] = [];
  const run: typeof runLockstep = async (args, { onLine }) => {
    const go = goes[calls.length];
    calls.push([...args]);
    go?.lines.forEach((line) => onLine(JSON.stringify(line)));
    return await Promise.resolve({
      code: go?.code ?? 1,
      signal: null,
      complaint: 'worker-1 was lost',
    });
  };
  return { calls, run };
}

function optionsWith(run: typeof runLockstep) {
  return {
    run,
    datasetUrl: 'file:///data',
    runUrl: 'file:///run',
    workers: 2,
    overrides: ['seed=3'],
    stopAfter: 4,
    lastStep: 8,
    isPlain: true,
    signal: new AbortController().signal,
    announce: () => undefined,
    onStopped: async () => await Promise.resolve(),
  };
}

const quality = { psnr: 26, ssim: 0.8, bicubic_psnr: 25, bicubic_ssim: 0.7 };
const evaluation = (step: number, psnr = 26) => ({
  kind: 'evaluation',
  ...quality,
  step,
  psnr,
  sample_key: 'x.png',
});
const end = { kind: 'finished', run: 'demo', step: 8, sha256: 'ab', world: 2, images_per_s: 3 };

test('it trains, stops, resumes, and gathers what both goes said', async () => {
  const { calls, run } = fakeLockstep([
    { code: 3, lines: [evaluation(2), evaluation(4, 20)] },
    { code: 0, lines: [evaluation(4, 21), evaluation(8), end] },
  ]);
  const callsWhenStopped: number[] = [];
  const onStopped = async (): Promise<void> => {
    callsWhenStopped.push(calls.length);
    return await Promise.resolve();
  };
  const result = await trainInTwoGoes({ ...optionsWith(run), onStopped });
  assert.ok(typeof result === 'object');
  assert.deepEqual(callsWhenStopped, [1], 'once, between the two goes');
  assert.equal(result.finished.sha256, 'ab');
  assert.deepEqual(
    result.evaluations.map(({ step, psnr }) => [step, psnr]),
    [
      [2, 26],
      [4, 21],
      [8, 26],
    ],
  );
  assert.deepEqual(
    calls.map(([command]) => command),
    ['train', 'resume'],
  );
  assert.ok(calls[0]?.join(' ').includes('--set dataset.url=file:///data --set seed=3'));
  assert.ok(calls[0]?.join(' ').includes('--stop-after 4'));
  assert.ok(calls[1]?.includes('file:///run'));
});

test('a training that ends otherwise is told with its own words', async () => {
  const reason = 'worker-1 did not answer';
  const lost = fakeLockstep([{ code: 4, lines: [{ kind: 'failed', reason, step: 3 }] }]);
  await assert.rejects(
    trainInTwoGoes(optionsWith(lost.run)),
    /lockstep train ended with exit code 4, not 3:\nworker-1 did not answer\nworker-1 was lost/,
  );
  const silent = fakeLockstep([
    { code: 3, lines: [] },
    { code: 0, lines: [] },
  ]);
  await assert.rejects(trainInTwoGoes(optionsWith(silent.run)), /without saying/);
});

for (const [code, outcome] of [
  [3, 'stopped'],
  [130, 'interrupted'],
] as const)
  test(`once ${outcome}, it does not resume`, async () => {
    const { calls, run } = fakeLockstep([{ code, lines: [] }]);
    const signal = AbortSignal.abort();
    assert.equal(await trainInTwoGoes({ ...optionsWith(run), signal }), outcome);
    assert.equal(calls.length, 1);
  });

test('the note beside the bar says what is known', () => {
  const report = {
    kind: 'evaluation',
    ...quality,
    step: 5,
    psnr: 26.314,
    sample_key: 'x',
  } as const;
  assert.equal(progressNote(12.34, report), '12.3 images/s, 26.31 dB, bicubic 25.00');
  assert.equal(progressNote(12.34, undefined), '12.3 images/s');
  assert.equal(progressNote(0, undefined), '');
});

test('lines of the training become reports, without what is not needed', () => {
  const line = '{"kind":"step","step":3,"last_step":8,"images_per_s":2.5,"metrics":{"mse":1}}';
  assert.deepEqual(parseTrainingLine(line), {
    kind: 'step',
    step: 3,
    last_step: 8,
    images_per_s: 2.5,
  });
  assert.deepEqual(parseTrainingLine('{"kind":"checkpoint","step":4,"key":"x"}'), {
    kind: 'checkpoint',
    step: 4,
  });
});

test('anything else is left alone', () => {
  const lines = [
    '',
    'starting',
    '{"kind":"step"',
    '{"kind":"step","step":-1,"last_step":8}',
    '{"kind":"weather","step":1}',
    `{"kind":"checkpoint","step":4,"x":"${'y'.repeat(70_000)}"}`,
  ];
  for (const line of lines) assert.equal(parseTrainingLine(line), undefined);
});
