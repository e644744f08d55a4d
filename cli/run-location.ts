// Where a run lies: the operator names it by a url or by the id of a local run.

/** Folder below which `lockstep train` keeps local runs. */
export const localRunsUrl = 'file://runs';

/** The url of RUN: a file:// or s3:// folder as given, else the local run of that id. */
export function runUrl(run: string): string {
  if (/^(s3|file):\/\//.test(run)) return run.replace(/\/+$/, '');
  return `${localRunsUrl}/${run}`;
}

/** The id of a run: the last part of its url. */
export function runId(url: string): string {
  return url.replace(/\/+$/, '').split('/').at(-1) ?? url;
}
