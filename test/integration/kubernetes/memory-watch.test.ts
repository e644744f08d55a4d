// A leading coordinator sees its workers' pods run out of memory: it says so, and ends the run where
// trying again is of no use.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { CoordinatorEvent } from '../../../coordinator/core/state.js';
import { watchMemory } from '../../../coordinator/memory-watch.js';
import { FakeApiServer } from '../../support/kubernetes/fake-api-server.js';
import { until } from '../../support/until.js';

let server: FakeApiServer;
let notices: string[];
let events: CoordinatorEvent[];
let close: () => void;

const leaseUrl = 'k8s://n/faces';
const looks = () => server.requests.filter(({ path }) => path.endsWith('/pods')).length;

function watch(): void {
  close = watchMemory({
    ...{ leaseUrl, config: server.config(), everyMs: 20 },
    dispatch: (event) => events.push(event),
    onNotice: (text) => notices.push(text),
  });
}

function kill(pod: string, n: number, labels: object = {}): void {
  const terminated = {
    ...{ exitCode: 137, reason: 'OOMKilled' },
    ...{ startedAt: '2026-11-29T12:00:00Z', finishedAt: '2026-11-29T12:01:00Z' },
  };
  server.change(`/api/v1/namespaces/n/pods/${pod}`, {
    metadata: {
      name: pod,
      creationTimestamp: `2026-11-29T12:0${n}:00Z`,
      labels: {
        'app.kubernetes.io/instance': 'faces',
        'app.kubernetes.io/component': 'worker',
        'batch.kubernetes.io/job-completion-index': '1',
        ...labels,
      },
    },
    spec: { containers: [{ name: 'worker', resources: { limits: { memory: '1Gi' } } }] },
    status: { containerStatuses: [{ name: 'worker', state: { terminated } }] },
  });
}

beforeEach(async () => {
  server = await new FakeApiServer().listen();
  [notices, events, close] = [[], [], () => undefined];
});
afterEach(() => {
  close();
  return server.close();
});

test('each is said once, the third in a row ends the run, and nothing is asked after that', async () => {
  kill('before', 0, { 'batch.kubernetes.io/job-completion-index': '0' });
  kill('theirs', 0, { 'app.kubernetes.io/instance': 'other' });
  watch();
  await until(() => looks() > 1, 'it looks');
  assert.deepEqual(notices, []);
  kill('a', 1);
  kill('b', 2);
  await until(() => notices.length === 2, 'both are said');
  const seen = looks();
  await until(() => looks() > seen + 2, 'it goes on');
  assert.deepEqual([notices.length, events], [2, []]);
  kill('c', 3);
  await until(() => events.length > 0, 'the run is given up');
  assert.deepEqual(
    notices,
    ['a', 'b', 'c'].map((pod) => `${pod} ran out of memory: it may have 1Gi (--memory-per-worker)`),
  );
  const reason =
    'worker-1 ran out of memory 3 times in a row: it may have 1Gi; --memory-per-worker gives it more';
  assert.deepEqual(events, [{ kind: 'failAsked', ending: { exitCode: 78, reason } }]);
});

test('it goes on through answers that fail, and stops where it is not allowed', async () => {
  server.inflict({ status: 503, times: 2 });
  watch();
  await until(() => looks() > 3, 'it looks again');
  kill('a', 1);
  await until(() => notices.length === 1, 'it is said');
  server.inflict({ status: 403, times: 1 });
  const seen = looks();
  await until(() => looks() > seen, 'it is refused');
  server.clear();
  kill('b', 2);
  kill('c', 3);
  const untilMs = performance.now() + 200;
  await until(() => performance.now() > untilMs, 'ten times as long as between two looks');
  assert.deepEqual([notices.length, events, looks()], [1, [], seen + 1]);
});
