// The report's tables: what came out, where the time went, what differs in the specs, what computed
// it, and how to use the model. Plain HTML, there without scripts too.

import { canonicalJson, specDifferences } from '../../shared/spec/compare.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { lossCauses, type LossCause } from '../history/picture.js';
import { markup, type Markup } from './markup.js';
import type { ReportedRun } from './report-run.js';

const causes: Readonly<Record<LossCause, string>> = {
  redone: 'to steps taken again',
  skipped: 'to steps skipped',
  lost: 'after a loss',
  membership: 'to new worlds',
  starting: 'to starting',
  other: 'between steps',
};

/** A line of a table: its name, and a cell for each run. */
type Fact = readonly [name: string, cellOf: (run: ReportedRun) => string | Markup];

const results: readonly Fact[] = [
  [
    'State',
    ({ picture }) => [picture.state, picture.reason].filter((one) => one !== '').join(': '),
  ],
  ['Steps', ({ picture }) => `${count(picture.step)} of ${count(picture.last_step)}`],
  ['PSNR', (run) => judged(run, 'psnr', 'bicubic_psnr', ' dB')],
  ['SSIM', (run) => judged(run, 'ssim', 'bicubic_ssim')],
  ['Identity', (run) => judged(run, 'identity', 'bicubic_identity')],
  [
    'Best PSNR',
    ({ picture: { best } }) => (best ? `${figure(best.psnr)} dB, step ${count(best.step)}` : '–'),
  ],
  [
    'Newest parameters',
    ({ picture: { checkpoint } }) =>
      checkpoint === undefined
        ? '–'
        : markup`step ${count(checkpoint.step)}, SHA-256 <code>${checkpoint.sha256}</code>`,
  ],
];

const time: readonly Fact[] = [
  ['Led for', ({ picture }) => duration(picture.goodput.wall_s)],
  ['Goodput', ({ picture }) => `${(100 * picture.goodput.share).toFixed(1)} %`],
  ...lossCauses.map((cause): Fact => [
    `Lost ${causes[cause]}`,
    ({ picture }) => duration(picture.goodput.lost_s[cause]),
  ]),
  ['Images a second', ({ picture }) => figure(picture.images_per_s)],
  ...['data', 'compute', 'exchange', 'update', 'wait'].map((part): Fact => [
    `Mean of a step: ${part}`,
    ({ series }) => mean(series.columns[`seconds/${part}`]),
  ]),
  ['Workers lost', ({ picture }) => count(picture.counts.lost)],
  ['Workers drained', ({ picture }) => count(picture.counts.drained)],
  ['Worlds', ({ picture }) => count(picture.counts.worlds)],
  ['Coordinators', ({ picture }) => count(picture.counts.terms)],
  ['Steps skipped', ({ picture }) => count(picture.counts.skipped)],
  ['Steps taken again', ({ picture }) => count(picture.counts.redone)],
];

const origins: readonly Fact[] = [
  ['Folder', ({ url }) => markup`<code>${url}</code>`],
  ['Begun', ({ createdAt }) => createdAt],
  ['Computed by', ({ fingerprints }) => fingerprints.join('; ') || '–'],
  ['Lockstep', ({ versions }) => versions.join('; ') || '–'],
  ['Dataset', ({ spec }) => markup`<code>${spec.dataset.url}</code>`],
  ['Index of the dataset', ({ spec }) => markup`<code>${spec.dataset.indexSha256 ?? '–'}</code>`],
];

/** What came out; the first part of the report. */
export function resultTable(runs: readonly ReportedRun[]): Markup {
  return factTable('Results', runs, results);
}

/** Where the time went, and what was lost to what. */
export function timeTable(runs: readonly ReportedRun[]): Markup {
  return factTable('Where the time went', runs, time);
}

/** Engines, versions and data. */
export function originTable(runs: readonly ReportedRun[]): Markup {
  return factTable('What computed it', runs, origins);
}

function factTable(title: string, runs: readonly ReportedRun[], facts: readonly Fact[]): Markup {
  const rows = facts
    .map(([name, cellOf]) => [name, ...runs.map(cellOf)] as const)
    // What no run has is left out.
    .filter(([, ...cells]) => cells.some((cell) => cell !== '–'));
  return table(title, ['', ...runs.map(({ name }) => name)], rows);
}

function table(
  title: string,
  head: readonly string[],
  rows: readonly (readonly (string | Markup)[])[],
): Markup {
  const line = ([name, ...cells]: readonly (string | Markup)[]): Markup =>
    markup`<tr><th scope="row">${name}</th>${cells.map((cell) => markup`<td>${cell}</td>`)}</tr>\n`;
  return markup`<section>
<h2>${title}</h2>
<div class="table" role="region" tabindex="0" aria-label="${title}"><table>
<thead><tr>${head.map(headCell)}</tr></thead>
<tbody>
${rows.map(line)}</tbody>
</table></div>
</section>
`;
}

function headCell(name: string): Markup {
  return name === '' ? markup`<td></td>` : markup`<th scope="col">${name}</th>`;
}

/** Keys whose values are not the same in all specs; nothing for one run. */
export function differenceTable(runs: readonly ReportedRun[]): Markup {
  const [first, ...others] = runs;
  if (first === undefined || others.length === 0) return markup``;
  const keys = others.flatMap(({ spec }) =>
    specDifferences(first.spec, spec).map(({ key }) => key),
  );
  const rows = [...new Set(keys)]
    .sort()
    .map((key) => [key, ...runs.map(({ spec }) => valueAt(spec, key))]);
  if (rows.length === 0)
    return markup`<section><h2>What differs in the specs</h2><p>Nothing: the runs have the same
spec.</p></section>
`;
  return table('What differs in the specs', ['', ...runs.map(({ name }) => name)], rows);
}

function valueAt(spec: RunSpec, key: string): string {
  let value: unknown = spec;
  for (const name of key.split('.')) value = (Object(value) as Record<string, unknown>)[name];
  return value === undefined ? '–' : canonicalJson(value);
}

/** The checkpoints of each run, with the sums of their parameters. */
export function checkpointTables(runs: readonly ReportedRun[]): Markup {
  const tables = runs
    .filter(({ checkpoints }) => checkpoints.length > 0)
    .map(({ name, checkpoints }) => {
      const rows = checkpoints.map(({ step, createdAt, sha256, fingerprint, workers }) => [
        ...[count(step), createdAt, count(workers), fingerprint],
        markup`<code>${sha256}</code>`,
      ]);
      const head = ['Step', 'Written', 'Workers', 'Computed by', 'SHA-256 of the parameters'];
      return table(`Checkpoints of ${name}`, head, rows);
    });
  return markup`${tables}`;
}

/** The commands that use a run's model. */
export function usage({ name, url }: ReportedRun): Markup {
  const run = /^[\w@%+=:,./-]+$/.test(url) ? url : `'${url.replaceAll("'", `'\\''`)}'`;
  return markup`<section>
<h2>How to use the model of ${name}</h2>
<pre tabindex="0"><code>lockstep export ${run} --format onnx --out model
lockstep upscale photo.jpg --model model/model.onnx
lockstep evaluate ${run}
lockstep resume ${run}
lockstep checkpoints verify ${run}</code></pre>
</section>
`;
}

/** The spec as it was written down. */
export function specDetails({ name, spec }: ReportedRun): Markup {
  return markup`<details>
<summary>Spec of ${name}</summary>
<pre tabindex="0"><code>${JSON.stringify(spec, null, 2)}</code></pre>
</details>
`;
}

type Judged = 'psnr' | 'ssim' | 'identity';

function judged(
  { picture: { evaluation } }: ReportedRun,
  metric: Judged,
  bicubic: `bicubic_${Judged}`,
  unit = '',
): string {
  const value = evaluation?.[metric];
  if (value === undefined || value === null) return '–';
  return `${figure(value)}${unit} (bicubic ${figure(evaluation?.[bicubic])}${unit})`;
}

function mean(column: readonly (number | null)[] | undefined): string {
  const values = (column ?? []).filter((value) => value !== null);
  if (values.length === 0) return '–';
  return duration(values.reduce((sum, value) => sum + value, 0) / values.length);
}

function figure(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  return value.toLocaleString('en', { maximumSignificantDigits: 5 });
}

function count(value: number): string {
  return value.toLocaleString('en');
}

/** "12 ms", "4.2 s", "3 min 20 s", "1 h 04 min" */
function duration(seconds: number): string {
  if (seconds > 0 && seconds < 1) return `${(1000 * seconds).toPrecision(3)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}
