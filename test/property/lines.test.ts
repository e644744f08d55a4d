// Every line and view takes every message of its kind: whatever the schemas of the messages allow is
// reported, printed as JSON, read back and shown to a person.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { statusJson, statusLines, workerRows } from '../../cli/commands/status.js';
import { parseTrainingLine } from '../../cli/demo/training.js';
import { clusterStatusLines, memberRows, type ClusterStatus } from '../../cli/kubernetes/status.js';
import { createFollowView } from '../../cli/kubernetes/wait-for-run.js';
import { createRunView, keepLine, runResult, type RunLine } from '../../cli/local/run-lines.js';
import { formatTable } from '../../cli/output.js';
import { createReporter, type ReportLine } from '../../coordinator/edge/reporter.js';
import { runStatusSchema } from '../../shared/control/admin.js';
import { workerMessageSchema } from '../../shared/control/messages.js';
import { leaderStatusOf, readLeaderStatus } from '../../shared/kubernetes/leader-status.js';
import { leaseAnnotations } from '../../shared/kubernetes/lease-place.js';
import { anyValueOf } from './any-value.js';
import { assertEvents, createHeardEvents } from '../support/watch/events.js';
import { tinyRun } from '../support/tiny-run.js';

/** What is printed meanwhile. */
function printedBy(t: TestContext, show: () => void): string {
  let printed = '';
  const take = (text: string | Uint8Array): boolean => {
    printed += String(text);
    return true;
  };
  const streams = [process.stdout, process.stderr].map((stream) =>
    t.mock.method(stream, 'write', take),
  );
  try {
    show();
  } finally {
    for (const stream of streams) stream.mock.restore();
  }
  return printed;
}

const anyMessage = anyValueOf(workerMessageSchema);
const world = { generation: 1048577, step: 0, until: 6, members: [] };

/** The lines of a coordinator that hears these messages, as whoever runs it reads them. */
function linesAbout(tell: (reporter: ReturnType<typeof createReporter>) => void): RunLine[] {
  const lines: ReportLine[] = [];
  const { events, heard } = createHeardEvents();
  const reporter = createReporter({
    ...{ run: 'r', url: 'file://runs/r', spec: tinyRun('file://d'), startStep: 0, until: 6 },
    ...{
      startSha256: '',
      trainSamples: 9,
      testSamples: 2,
      term: 1,
      events,
      now: Date.now,
    },
    onLine: (line) => lines.push(line),
  });
  reporter.started();
  tell(reporter);
  assertEvents(heard);
  return lines.map((line) => JSON.parse(JSON.stringify(line)) as RunLine);
}

test('every message of a worker is shown', (t) => {
  fc.assert(
    fc.property(fc.array(anyMessage, { maxLength: 5 }), fc.string(), (messages, reason) => {
      const lines = linesAbout((reporter) => {
        reporter.formed({ kind: 'formed', world, fingerprint: '', reason } as never);
        reporter.lost({ kind: 'lost', worker: 'w', reason, generation: 1, silentMs: NaN } as never);
        for (const message of messages)
          if (message.kind === 'stepReport' || message.kind === 'evaluation')
            reporter.message(message, () => [], 1);
      });
      const left = { code: 1, signal: null };
      const { line } = runResult(lines.reduce(keepLine, {}), left, 2, false);
      const shown = printedBy(t, () => {
        const view = createRunView(true);
        for (const one of [...lines, line ?? {}]) view.show(one);
        view.close();
      });
      assert.match(shown, /run r in/);
      assert.doesNotMatch(shown, /undefined|NaN|\[object/);
      for (const one of lines) parseTrainingLine(JSON.stringify(one));
    }),
    { numRuns: 300 },
  );
});

test('a line is shown also without the fields that it has today', (t) => {
  const kinds = [
    'run',
    'activity',
    'rollback',
    'step',
    'evaluation',
    'checkpoint',
    'notice',
    'world',
    'lost',
    'failed',
  ];
  printedBy(t, () => {
    for (const kind of kinds) createRunView(true).show({ kind });
    const view = createRunView(true);
    for (const kind of kinds) view.show({ kind });
    view.close();
  });
});

test('every status is shown, by the coordinator and by the cluster', (t) => {
  const facts = { address: 'h:1', transitions: 0, phase: 'pixel', result: undefined };
  fc.assert(
    fc.property(anyValueOf(runStatusSchema), (status) => {
      statusLines(status);
      formatTable(workerRows(status));
      JSON.stringify(statusJson(status));
      const text = JSON.stringify(leaderStatusOf(status, facts));
      const progress = readLeaderStatus({ [leaseAnnotations.status]: text });
      assert.ok(progress !== undefined);
      const stage = { kind: 'running', reason: '', progress } as const;
      const parameters = { namespace: 'n', name: 'r', runUrl: 's3://b/r', workers: 2 };
      const cluster = { run: { parameters }, stage, lease: undefined, pods: [], troubles: [] };
      clusterStatusLines(cluster as unknown as ClusterStatus);
      formatTable(memberRows(cluster as unknown as ClusterStatus));
      printedBy(t, () => {
        const view = createFollowView('lines', () => undefined);
        view.show(stage);
        view.close();
      });
    }),
    { numRuns: 300 },
  );
});

test('any annotation of a Lease reads as a status that can be shown, or as none', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const progress = readLeaderStatus({ [leaseAnnotations.status]: text });
      if (progress === undefined) return;
      const stage = { kind: 'running', reason: '', progress } as const;
      const parameters = { namespace: 'n', name: 'r', runUrl: 's3://b/r', workers: 2 };
      const cluster = { run: { parameters }, stage, lease: undefined, pods: [], troubles: [] };
      clusterStatusLines(cluster as unknown as ClusterStatus);
      formatTable(memberRows(cluster as unknown as ClusterStatus));
    }),
  );
});
