// `lockstep report`: one HTML file of a run, or of several side by side, that opens anywhere.

import { resolve } from 'node:path';
import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import { outputProblem, writeOutput } from '../../inference/output-file.js';
import { readEnvironment } from '../../shared/environment.js';
import { OperatorError } from '../../shared/problems.js';
import { readReportedRun, type ReportedRun } from '../../watch/report/report-run.js';
import { reportFrameBytes, writeReport } from '../../watch/report/report.js';
import { flagOption, wordOption } from '../options.js';
import { printJson, printLine } from '../output.js';
import { createProgress, progressMode, type Progress, type ProgressMode } from '../progress.js';
import { runId, runUrl, withStore } from '../stores.js';

const options = {
  out: wordOption('The file', { default: 'report.html' }),
  force: flagOption('Replace a file that is there'),
  json: flagOption('Print JSON on one line'),
} as const satisfies Record<string, Options>;

/** Side by side, more can't be told apart. */
const mostRuns = 6;

type Arguments = { readonly runs?: readonly string[] | undefined } & InferredOptionTypes<
  typeof options
>;

export const reportCommand: CommandModule<object, Arguments> = {
  command: 'report <runs..>',
  describe: 'Write one HTML file of a run, or of several side by side',
  builder: (y) =>
    y
      .positional('runs', {
        type: 'string',
        array: true,
        describe: 'file:// or s3:// folders of runs, or ids of local runs',
      })
      .options(options)
      .example('$0 report faces-1', 'Writes report.html')
      .example('$0 report faces-1 faces-2 --out both.html', 'Two runs, and what differs'),
  handler: async ({ runs: given = [], out, force, json }) => {
    if (given.length > mostRuns)
      throw new OperatorError('the report can not be written', [
        { key: 'RUNS', given: given.length, allowed: `1 to ${mostRuns} runs` },
      ]);
    const urls = given.map((run) => runUrl(run));
    const place = { path: resolve(out), isForced: force, key: '--out' };
    const problem = await outputProblem(place);
    if (problem !== undefined) throw new OperatorError('the report can not be written', [problem]);
    const runs: ReportedRun[] = [];
    const mode = progressMode(json, readEnvironment().isPlain);
    for (const url of urls) runs.push(await readRun(url, reportFrameBytes / urls.length, mode));
    const report = await writeReport(runs);
    const file = await writeOutput(place, report);
    if (json) printJson({ file, bytes: report.length, runs: urls });
    else printLine(file);
  },
};

/** Reads a run; how far that is goes to stderr. */
async function readRun(url: string, frameBytes: number, mode: ProgressMode): Promise<ReportedRun> {
  const shown: { bar?: Progress } = {};
  const onRead = (done: number, total: number): void => {
    shown.bar ??= createProgress({ label: `reading ${runId(url)}`, total, mode });
    shown.bar.update(done);
  };
  try {
    return await withStore(url, (store) => readReportedRun(store, frameBytes, { onRead }));
  } finally {
    shown.bar?.close();
  }
}
