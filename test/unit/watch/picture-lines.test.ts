import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import { formatDuration } from '../../../cli/progress.js';
import { formatBytes, pictureLines } from '../../../cli/watch/picture-lines.js';
import { createScreen, type Terminal } from '../../../cli/watch/screen.js';
import { createLineView } from '../../../cli/watch/views.js';
import { packageFile } from '../../../shared/paths.js';
import { createRunHistory } from '../../../watch/history/history.js';
import type { RunPicture } from '../../../watch/history/picture.js';
import { createStory, firstTermWorld, storyTime } from '../../support/watch/run-story.js';

/** A run in the middle of its life. */
function fixedPicture(): RunPicture {
  const story = createStory();
  story.started(0);
  story.tell(0, 'run.scaled', { workers: 2 });
  story.world(1, firstTermWorld(1), 0, ['w-0', 'w-1']);
  const metrics = {
    ...{ 'loss/generator': 0.01234, 'loss/discriminator': 0.693, 'loss/pixel': null },
    ...{ 'score/real': 0.71, 'score/fake': 0.28, mse: 0.01 },
  };
  for (let step = 1; step <= 40; step++) story.step(1 + step, step, { metrics });
  story.sample(41, 40, 25.512);
  story.tell(41, 'checkpoint.committed', { step: 40, sha256: 'abcdef01'.repeat(8), url: 'c' });
  story.observed(42, 40, ['w-0', 'w-1']);
  const history = createRunHistory();
  for (const event of story.events) history.add(event);
  return history.picture();
}

const picture = fixedPicture();
const nowMs = Date.parse(storyTime(53));
const linesAt = (width: number, height = 40): string[] =>
  pictureLines(picture, { width, height, nowMs, timeZone: 'UTC' }).map(({ text }) => text);

describe('a picture as lines', () => {
  it('has all of it where there is room', () => {
    assert.deepEqual(linesAt(100), [
      'faces  running, 2 of 2 workers, term 1  file:///runs/faces',
      `[${'='.repeat(24)}${' '.repeat(36)}]`,
      'step 40 of 100 (40%), 1 min left, phase pixel',
      'loss    discriminator 0.693  generator 0.0123  pixel not finite',
      'D       fake 0.280  real 0.710',
      'faces   PSNR 25.51 dB, bicubic 24.00  SSIM 0.800, bicubic 0.700  at step 40',
      'speed   16.0 images/s  2.9 KiB a step',
      'goodput 98% of 41 s  starting 1 s',
      'saved   step 40, 12 s ago  abcdef01abcd',
      '',
      'rank  worker  step  data  compute  exchange  update  wait  stage     host',
      '   0  w-0       40  0.10     0.60      0.20    0.10  0.10  training  host-0',
      '   1  w-1       40  0.10     0.60      0.20    0.10  0.10  training  host-1',
      '',
      '03:04:05  started from the beginning',
      '03:04:05  2 workers are wanted',
      '03:04:06  2 workers from step 0: test',
      '03:04:46  checkpoint at step 40',
      '03:04:46  faces at step 40: PSNR 25.51 dB, bicubic 24.00 dB',
    ]);
  });

  it('fits any width and height, and says the same', () => {
    for (const width of [40, 80, 120])
      for (const height of [12, 24, 60]) {
        const lines = linesAt(width, height);
        assert.ok(
          lines.every((line) => line.length <= width),
          `${width}: ${lines.join('\n')}`,
        );
        assert.match(lines.join('\n'), /faces {2}running[^]*step 40 of 100[^]*PSNR 25.51[^]*w-0/);
      }
    assert.deepEqual(
      linesAt(40).filter((line) => line.startsWith('rank') || line.startsWith('   1')),
      ['rank  worker  step  data  compute', '   1  w-1       40  0.10     0.60'],
    );
  });

  it('says which worker is slow, and leaves out those that there is no room for', () => {
    const [one] = picture.workers;
    const workers = Array.from({ length: 50 }, (_, rank) => ({
      ...one,
      rank,
      worker: `w-${rank}`,
    }));
    const straggler = { worker: 'w-0', phase: 'compute', excess_s: 0.25 } as const;
    const lines = pictureLines(
      { ...picture, workers, straggler },
      { width: 80, height: 24, nowMs },
    );
    assert.ok(lines.length <= 24);
    assert.deepEqual(
      lines.filter(({ tone }) => tone === 'warning').map(({ text }) => text.slice(0, 36)),
      ['   0  w-0       40  0.10     0.60   ', 'slowest w-0, in compute: 0.250 s a s'],
    );
    assert.ok(lines.some(({ text }) => /^and \d+ more$/.test(text)));
  });

  it('says when a run that should go on is silent', () => {
    const later = { width: 100, height: 40, nowMs: nowMs + 240_000 };
    const resume = 'if it was killed: lockstep resume file:///runs/faces';
    assert.equal(
      pictureLines(picture, later)[1].text,
      `nothing was heard for 4 min 11 s; ${resume}`,
    );
    const ended = pictureLines({ ...picture, state: 'finished', reason: 'done' }, later);
    assert.doesNotMatch(ended.map(({ text }) => text).join(), /nothing was heard/);
  });

  it('shows a run of which nothing is known, and nothing that controls a terminal', () => {
    const empty = createRunHistory().picture();
    const [title] = pictureLines(empty, { width: 80, height: 24, nowMs });
    assert.equal(title.text, 'a run  unknown');
    const evil = { ...picture, run: 'a\x1b[2Jb', health: 'x\n\x07y' };
    const text = pictureLines(evil, { width: 80, height: 24, nowMs }).map((line) => line.text);
    // eslint-disable-next-line no-control-regex
    assert.doesNotMatch(text.join(''), /[\x00-\x1f]/);
  });
});

test('the page writes amounts and times as the terminal does', async () => {
  const words = (await import(packageFile('web/watch/words.js'))) as {
    bytesText(count: number): string;
    durationText(seconds: number): string;
  };
  for (const bytes of [0, 999, 1000, 1023, 1024, 3000, 12_345_678, 2 ** 30, 5e12, 7e16])
    assert.equal(words.bytesText(bytes), formatBytes(bytes));
  const days = [86_399, 86_400, 100_000, 1e6].flatMap((second) => [second - 40, second]);
  for (const seconds of [10, 59.4, 59.6, 60, 61, 605, 3599, 3600, 3700, 7510, ...days])
    assert.equal(words.durationText(seconds), formatDuration(seconds));
});

describe('a screen', () => {
  /** A terminal that takes what is written. */
  function fakeTerminal(columns: number, rows: number) {
    const written: string[] = [];
    const listeners = new Set<() => void>();
    const terminal: Terminal = {
      get columns() {
        return size.columns;
      },
      get rows() {
        return size.rows;
      },
      write: (text) => written.push(text),
      on: (_, listener) => listeners.add(listener),
      off: (_, listener) => listeners.delete(listener),
    };
    const size = { columns, rows };
    const resize = (to: typeof size): void => {
      Object.assign(size, to);
      for (const listener of listeners) listener();
    };
    return { terminal, written, resize, listeners };
  }
  const lines = (count: number) => (width: number) =>
    Array.from({ length: count }, (_, i) => ({ text: `${i}/${width}`, tone: 'plain' as const }));

  it('is drawn again where it is, in one write, and gives the cursor back', () => {
    const { terminal, written, resize, listeners } = fakeTerminal(41, 10);
    const screen = createScreen(terminal);
    screen.show(lines(2));
    screen.show(lines(1));
    resize({ columns: 31, rows: 10 });
    screen.close();
    assert.deepEqual(written, [
      '\x1b[?25l0/40\x1b[K\n1/40\x1b[K\n\x1b[J',
      '\x1b[2F0/40\x1b[K\n\x1b[J',
      '\x1b[2J\x1b[H0/30\x1b[K\n\x1b[J',
      '\x1b[?25h',
    ]);
    assert.equal(listeners.size, 0);
  });

  it('takes no more lines than there are', () => {
    const { terminal, written } = fakeTerminal(41, 4);
    createScreen(terminal).show(lines(9));
    assert.equal(written.join('').split('\n').length - 1, 3);
  });
});

describe('lines where there is no terminal', () => {
  it('say what happens once, and how far the run is every few seconds', () => {
    const printed: string[] = [];
    let now = 0;
    const view = createLineView(
      (line) => printed.push(line),
      () => now,
    );
    view.show(picture);
    view.show(picture);
    now = 4_000;
    const news = [{ ...picture.news[0], text: 'w-1 was lost: it is gone', kind: 'lost' as const }];
    view.show({ ...picture, step: 41, news });
    now = 6_000;
    view.show({ ...picture, step: 42, news });
    assert.deepEqual(
      printed.slice(5).map((line) => line.replace(/^[\d:]{8}/, 'T')),
      [
        'faces 40/100 (40%), 1 min left, loss 0.0123, PSNR 25.51 dB, 16.0 images/s',
        'T  w-1 was lost: it is gone',
        'faces 42/100 (42%), 1 min left, loss 0.0123, PSNR 25.51 dB, 16.0 images/s',
      ],
    );
  });
});
