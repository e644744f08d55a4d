import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRunHistory } from '../../../watch/history/history.js';
import { jsonMarkup, markup } from '../../../watch/report/markup.js';
import { chooseFrames, type ReportedRun } from '../../../watch/report/report-run.js';
import { differenceTable, usage } from '../../../watch/report/report-tables.js';
import { writeReport } from '../../../watch/report/report.js';
import { runIn, type RunChange } from '../../support/tiny-run.js';

const hostile = `</script><img src=x onerror="alert(1)">'&\u2028`;

function reported(name: string, change: RunChange = {}): ReportedRun {
  const history = createRunHistory();
  return {
    ...{ name, url: `file:///runs/${name}`, spec: runIn('/faces', change), createdAt: '' },
    ...{ picture: history.picture(), series: history.series({ points: 10 }) },
    ...{ timeLine: history.timeLine(), frames: [], checkpoints: [] },
    ...{ fingerprints: [], versions: [] },
  };
}

test('what is put into a template never becomes markup', () => {
  const { html } = markup`<p title="${hostile}">${hostile}${[markup`<b>${1}</b>`]}${undefined}</p>`;
  assert.equal(html.match(/[<>]/g)?.length, 8);
  assert.equal(html.match(/"/g)?.length, 2);
  assert.ok(html.endsWith('<b>1</b></p>'));
});

test('JSON in a script element ends neither the element nor a line', () => {
  const { html } = jsonMarkup({ hostile });
  assert.doesNotMatch(html, /[<>&\u2028]/);
  assert.deepEqual(JSON.parse(html), { hostile });
});

test('a report of a run with a hostile name has no element of its own making', async () => {
  const runs = [reported(hostile), reported('b', { seed: 99 })].map((run) => ({
    ...run,
    picture: { ...run.picture, reason: hostile, run: hostile },
    fingerprints: [hostile],
    versions: [hostile],
    checkpoints: [
      { step: 1, createdAt: hostile, sha256: hostile, fingerprint: hostile, workers: 1 },
    ],
  }));
  const page = (await writeReport(runs)).toString();
  assert.doesNotMatch(page, /<img|onerror="/);
  // The policy allows no script without this report's own word.
  const nonce = /script-src &#39;nonce-([\w-]{43})&#39;/.exec(page)?.[1];
  assert.ok(nonce !== undefined);
  const scripts = [...page.matchAll(/<script [^>]*>/g)].map(([tag]) => tag);
  assert.equal(scripts.length, 3);
  assert.equal(scripts.filter((tag) => tag.includes(`nonce="${nonce}"`)).length, 2);
  assert.doesNotMatch(page, /(src|href)="(?!data:)/);
});

test('what differs in the specs of several runs is a table of their keys', () => {
  const runs = [reported('a'), reported('b', { seed: 12, ema: 0 }), reported('c', { seed: 13 })];
  const { html } = differenceTable(runs);
  const rows = [...html.matchAll(/<tr><th scope="row">(.*?)<\/tr>/g)].map(([, row = '']) =>
    row.split(/<[^>]*>/).filter((cell) => cell !== ''),
  );
  assert.deepEqual(rows, [
    ['ema', '0.3', '0', '0.3'],
    ['seed', '11', '12', '13'],
  ]);
  assert.match(differenceTable([reported('a'), reported('b')]).html, /the same\s+spec/);
});

test('commands quote the address of a run for a shell', () => {
  const plain = usage(reported('a')).html;
  assert.match(plain, /lockstep evaluate file:\/\/\/runs\/a\n/);
  const odd = usage({ ...reported('a'), url: "file:///my run's; rm" }).html;
  assert.match(odd, /evaluate &#39;file:\/\/\/my run&#39;\\&#39;&#39;s; rm&#39;\n/);
});

test('frames are thinned out evenly until they fit', () => {
  const frames = Array.from({ length: 9 }, (_, step) => ({ step, bytes: 300 }));
  const steps = (most: number) => chooseFrames(frames, most).map(({ step }) => step);
  assert.deepEqual(steps(3_600), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(steps(2_000), [0, 2, 4, 6, 8]);
  assert.deepEqual(steps(800), [0, 8]);
  assert.deepEqual(steps(400), [8]);
  assert.deepEqual(steps(300), []);
});
