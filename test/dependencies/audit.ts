// npm run audit: what is known against the packages.
// Whether npm knows a vulnerability of severity high or above in a package that is shipped. One
// that does no harm here is listed with its reason and date. Ends non-zero for any other. A
// registry that does not answer is said, and no failure: the next run may hear it.

import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { isMainThread } from 'node:worker_threads';
import { pathToFileURL } from 'node:url';
import { packageFile } from '../../shared/paths.js';

/** An advisory that is no failure. */
export interface AcceptedAdvisory {
  /** Its address: https://github.com/advisories/GHSA-... */
  readonly url: string;
  /** Why it does no harm here. */
  readonly why: string;
  /** When that was judged, YYYY-MM-DD: it is to be looked at again after half a year. */
  readonly judged: string;
}

const accepted: readonly AcceptedAdvisory[] = [];

const gravest = new Set(['high', 'critical']);

/** What npm's answer says: nothing that can be judged, or advisories that are failures. */
export type AuditVerdict =
  | { readonly kind: 'unanswered'; readonly reason: string }
  | { readonly kind: 'judged'; readonly packages: number; readonly failures: readonly string[] };

interface Vulnerability {
  readonly name?: string;
  readonly severity?: string;
  /** Advisories, and names of packages by which this one is affected. */
  readonly via?: readonly (string | { readonly url?: string; readonly severity?: string })[];
}

/** Judges what `npm audit --json` has printed. */
export function judgeAudit(
  printed: string,
  known: readonly AcceptedAdvisory[] = accepted,
): AuditVerdict {
  let report: {
    vulnerabilities?: Readonly<Record<string, Vulnerability>>;
    metadata?: { dependencies?: { prod?: number } };
    message?: string;
  };
  try {
    report = JSON.parse(printed) as typeof report;
  } catch {
    return { kind: 'unanswered', reason: 'npm printed no JSON' };
  }
  const { vulnerabilities, metadata, message } = report;
  if (vulnerabilities === undefined)
    return { kind: 'unanswered', reason: message ?? 'npm gave no list of vulnerabilities' };
  const failures = Object.entries(vulnerabilities).flatMap(([name, { via = [] }]) =>
    via.flatMap((cause) => {
      // By another package, which is listed itself.
      if (typeof cause === 'string' || !gravest.has(cause.severity ?? '')) return [];
      const isKnown = known.some(({ url }) => url === cause.url);
      return isKnown ? [] : [`${name}: ${cause.severity}, ${cause.url ?? 'without an address'}`];
    }),
  );
  return { kind: 'judged', packages: metadata?.dependencies?.prod ?? 0, failures };
}

const limitMs = 60_000;

async function main(): Promise<void> {
  const npm = spawn('npm', ['audit', '--omit=dev', '--json'], {
    cwd: packageFile('.'),
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: limitMs,
  });
  const verdict = judgeAudit(await text(npm.stdout));
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  if (verdict.kind === 'unanswered')
    return say(`vulnerabilities were not looked up: ${verdict.reason}`);
  for (const failure of verdict.failures) say(failure);
  say(`${verdict.packages} packages are shipped, ${verdict.failures.length} advisories fail`);
  process.exitCode = verdict.failures.length === 0 ? 0 : 1;
}

if (isMainThread && import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
