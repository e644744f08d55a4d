// The report that a run leaves in its folder when it ends. The end waits for it a few seconds; a
// run whose report takes longer, or can't be written, ends without, and says how to write it.

import { messageOf } from '../../shared/problems.js';
import type { ObjectStore } from '../../shared/store/store.js';
import type { RunHistory } from '../history/picture.js';

/** What is said of it: where it is, or why there is none. */
export type FinalReportLine =
  | { readonly kind: 'report'; readonly url: string }
  | { readonly kind: 'notice'; readonly text: string };

/** Longest wait: frames and manifests are read for it. */
const reportLimitMs = 5_000;

/** Key of the report, below the run. */
export const finalReportKey = 'report.html';

/** Writes the report of the run that has ended; says where it is, or why it is not. */
export async function leaveReport(
  store: ObjectStore,
  history: RunHistory,
  onLine: (line: FinalReportLine) => void,
  limitMs = reportLimitMs,
): Promise<void> {
  const ended = new AbortController();
  const work = writeFinalReport(store, history, ended.signal);
  const late = new Promise<string>((resolve) => {
    const timer = setTimeout(() => resolve(`it takes longer than ${limitMs / 1000} s`), limitMs);
    ended.signal.addEventListener('abort', () => clearTimeout(timer));
  });
  const failure = await Promise.race([work, late]);
  ended.abort(new Error('the run ends without a report'));
  const hint = `lockstep report ${store.url}`;
  if (failure === undefined) onLine({ kind: 'report', url: `${store.url}/${finalReportKey}` });
  else onLine({ kind: 'notice', text: `no report was written: ${failure}; to write it: ${hint}` });
}

/** Why it could not be written, if so. */
async function writeFinalReport(
  store: ObjectStore,
  history: RunHistory,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    // Loaded now: no other moment of a run needs it.
    const { readReportedRun } = await import('./report-run.js');
    const { reportFrameBytes, writeReport } = await import('./report.js');
    const run = await readReportedRun(store, reportFrameBytes, { history });
    const report = await writeReport([run]);
    signal.throwIfAborted();
    await store.put(finalReportKey, report, { contentType: 'text/html; charset=utf-8' });
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
