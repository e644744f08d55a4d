import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import fc from 'fast-check';
import { superviseThread, type EvaluationRequest } from '../../../worker/evaluation/evaluator.js';

/** A thread that records what it is sent and says what the test tells it to. */
class FakeThread extends EventEmitter {
  readonly received: EvaluationRequest[] = [];
  ends = 0;

  postMessage(message: EvaluationRequest): void {
    this.received.push(message);
  }

  async terminate(): Promise<number> {
    this.ends++;
    return await Promise.resolve(1);
  }

  answer(step: number): void {
    const figures = { psnr: 26, ssim: 0.8, bicubicPsnr: 25, bicubicSsim: 0.7, faces: 1 };
    const rest = { sampleKey: `samples/${step}.png`, seconds: 1 };
    const report = { kind: 'evaluation', step, ...figures, ...rest };
    this.emit('message', { kind: 'evaluated', step, report });
  }
}

function requestOf(step: number, isLast = false): EvaluationRequest {
  return { step, isLast, parameters: Float32Array.of(step, 2), statistics: Float32Array.of(3) };
}

function setUp() {
  const thread = new FakeThread();
  return { thread, evaluator: superviseThread(thread as never, 60_000) };
}

test('a request is copied before the trainer goes on', async () => {
  const { thread, evaluator } = setUp();
  const request = requestOf(7);
  const outcome = evaluator.evaluate(request);
  request.parameters.fill(99);
  thread.answer(7);
  assert.deepEqual([...(thread.received[0]?.parameters ?? [])], [7, 2]);
  assert.equal((await outcome).kind, 'evaluated');
  await evaluator.close();
});

test('requests that come too fast are skipped, and the thread never has two', async () => {
  const { thread, evaluator } = setUp();
  const outcomes = [1, 2, 3].map((step) => evaluator.evaluate(requestOf(step, step === 3)));
  assert.equal(thread.received.length, 1);
  assert.deepEqual(await outcomes[1], { kind: 'skipped', step: 2 });
  thread.answer(1);
  assert.equal((await outcomes[0])?.kind, 'evaluated');
  assert.deepEqual(
    thread.received.map(({ step }) => step),
    [1, 3],
  );
  thread.answer(3);
  assert.equal((await outcomes[2])?.kind, 'evaluated');
  await evaluator.close();
});

test('the last of the run keeps its place', async () => {
  const { thread, evaluator } = setUp();
  const [first, last, late] = [requestOf(1), requestOf(2, true), requestOf(1)].map((request) =>
    evaluator.evaluate(request),
  );
  assert.deepEqual(await late, { kind: 'skipped', step: 1 });
  thread.answer(1);
  thread.answer(2);
  assert.deepEqual([(await first).kind, (await last).kind], ['evaluated', 'evaluated']);
  await evaluator.close();
});

test('every request is evaluated or skipped, once, and the last one is evaluated', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 60 }), async (isAnswering) => {
      const { thread, evaluator } = setUp();
      const outcomes: ReturnType<typeof evaluator.evaluate>[] = [];
      const ask = (isLast = false) =>
        outcomes.push(evaluator.evaluate(requestOf(outcomes.length, isLast)));
      let answered = 0;
      const answerNext = () => thread.answer(thread.received[answered++].step);
      for (const isAnswer of isAnswering)
        if (isAnswer && answered < thread.received.length) answerNext();
        else ask();
      ask(true);
      while (answered < thread.received.length) answerNext();
      const ended = await Promise.all(outcomes);
      assert.deepEqual(
        ended.map(({ step }) => step),
        [...outcomes.keys()],
      );
      const evaluated = ended.filter(({ kind }) => kind === 'evaluated').map(({ step }) => step);
      assert.deepEqual(
        evaluated,
        thread.received.map(({ step }) => step),
      );
      assert.equal(evaluated.at(-1), outcomes.length - 1);
      await evaluator.close();
    }),
  );
});

test('a thread that breaks is reported for all that wait, and later ones', async () => {
  const { thread, evaluator } = setUp();
  const outcomes = [evaluator.evaluate(requestOf(1)), evaluator.evaluate(requestOf(2))];
  thread.emit('error', new Error('out of memory'));
  thread.emit('exit', 1);
  const failed = (step: number) => ({ kind: 'failed', step, reason: 'out of memory' });
  assert.deepEqual(await Promise.all(outcomes), [failed(1), failed(2)]);
  assert.deepEqual(await evaluator.evaluate(requestOf(3)), failed(3));
  await evaluator.close();
});

test('a thread that does not answer in time is ended', async () => {
  const thread = new FakeThread();
  const evaluator = superviseThread(thread as never, 5);
  const outcome = await evaluator.evaluate(requestOf(1));
  assert.deepEqual(outcome, { kind: 'failed', step: 1, reason: 'took longer than 5 ms' });
  assert.equal(thread.ends, 1);
  await evaluator.close();
});

test('closing answers what is open', async () => {
  const { evaluator } = setUp();
  const outcome = evaluator.evaluate(requestOf(1));
  await evaluator.close();
  assert.deepEqual(await outcome, {
    kind: 'failed',
    step: 1,
    reason: 'the evaluator was closed',
  });
});
