// The report of one run or of several side by side: one HTML file with all that it needs within. It
// asks no server for anything, and a policy of its own forbids it to.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { packageFile } from '../../shared/paths.js';
import { pageModules, pageStyles } from '../server/page-files.js';
import { jsonMarkup, markup, type Markup } from './markup.js';
import type { ReportedRun } from './report-run.js';
import {
  checkpointTables,
  differenceTable,
  originTable,
  resultTable,
  specDetails,
  timeTable,
  usage,
} from './report-tables.js';

/** All frames of a report have so many bytes at most. */
export const reportFrameBytes = 12 * 1024 * 1024;

/** The report as an HTML file. The same runs give the same bytes. */
export async function writeReport(runs: readonly ReportedRun[]): Promise<Buffer> {
  const data = jsonMarkup(runs.map(shownOf));
  const [imports, styles] = [await importMap(), await readStyles()];
  const title = `Report of ${runs.map(({ name }) => name).join(', ')}`;
  // Whoever has written a text in the data can't know it.
  const nonce = createHash('sha256').update(data.html).update(imports.html).digest('base64url');
  const page = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy(nonce)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="Lockstep report">
<title>${title}</title>
<link rel="icon" href="data:,">
<style nonce="${nonce}">${styles}</style>
<script type="importmap" nonce="${nonce}">${imports}</script>
</head>
<body>
<main class="container-fluid">
<div id="watch"><noscript><p>Curves, faces and time lines are drawn with JavaScript, which is off;
the tables are there without it.</p></noscript></div>
<div class="report">
${runs.length > 1 ? differenceTable(runs) : undefined}${resultTable(runs)}${timeTable(runs)}
${originTable(runs)}${checkpointTables(runs)}${runs.map(usage)}${runs.map(specDetails)}
</div>
</main>
<script type="application/json" id="report-data">${data}</script>
<script type="module" nonce="${nonce}">import 'lockstep-watch/report';</script>
</body>
</html>
`;
  return Buffer.from(page.html);
}

/** Scripts and styles of this very report, pictures within it, and nothing else. */
function policy(nonce: string): string {
  const own = `'nonce-${nonce}'`;
  return (
    `default-src 'none'; script-src ${own}; style-src ${own}; img-src data:; ` +
    "base-uri 'none'; form-action 'none'"
  );
}

/** What the panels are given of a run. */
function shownOf({ name, picture, series, timeLine, frames }: ReportedRun): object {
  return { name, picture, series, timeLine, frames };
}

/** Every module by its bare name, as a data: URL. */
async function importMap(): Promise<Markup> {
  const paths = new Map([...pageModules()].map(([name, { path }]) => [name, path]));
  // What follows a coordinator has nothing to follow here.
  paths.delete('lockstep-watch/live');
  paths.set('lockstep-watch/report', packageFile('web/watch/report.js'));
  const imports: Record<string, string> = {};
  for (const [name, path] of paths)
    imports[name] = `data:text/javascript;base64,${(await readFile(path)).toString('base64')}`;
  return jsonMarkup({ imports });
}

async function readStyles(): Promise<Markup> {
  const sheets = [...pageStyles().map(({ path }) => path), packageFile('web/watch/report.css')];
  const texts = await Promise.all(sheets.map((path) => readFile(path, 'utf8')));
  return { html: texts.join('\n').replaceAll('</', '<\\/') };
}
