// What a person is told of pods that do not start, or that ran out of memory: the server's words,
// each once; and when a run is given up for want of memory.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoreV1Event, V1Pod } from '@kubernetes/client-node';
import { troublesOf, whyNot } from '../../../cli/kubernetes/pod-troubles.js';
import { hopelessMemory } from '../../../shared/kubernetes/memory-kills.js';

const nowMs = Date.parse('2026-11-29T12:00:00Z');
const at = (s: number) => new Date(nowMs + 1000 * s);

function pod(name: string, status: object, component = 'worker', index = '0'): V1Pod {
  const labels = {
    'app.kubernetes.io/component': component,
    ...(component === 'worker' ? { 'batch.kubernetes.io/job-completion-index': index } : {}),
  };
  const limits = { memory: '2Gi' };
  return {
    metadata: { name, labels },
    spec: { containers: [{ name: component, resources: { limits } }] },
    status: { phase: 'Pending', ...status },
  };
}
const waits = (reason: string, message?: string) => ({
  containerStatuses: [{ state: { waiting: { reason, message } } }],
});
const ended = (exitCode: number, reason: string, startS = 0, endS = 60) => ({
  phase: 'Failed',
  containerStatuses: [
    { state: { terminated: { exitCode, reason, startedAt: at(startS), finishedAt: at(endS) } } },
  ],
});
const warning = (kind: string, name: string, reason: string, message: string, s = -5) =>
  ({
    ...{ metadata: {}, involvedObject: { kind, name }, reason, message },
    ...{ lastTimestamp: at(s), type: 'Warning' },
  }) as CoreV1Event;
const texts = (pods: V1Pod[], events: CoreV1Event[] = []) =>
  troublesOf(pods, events, nowMs).map(({ text }) => text);

test('pods that do not start say why, in the words of the server', () => {
  const unscheduled = {
    conditions: [
      { type: 'PodScheduled', status: 'False', message: '0/2 nodes: Insufficient memory.' },
    ],
  };
  const cases: [object, string][] = [
    [waits('ErrImageNeverPull', 'Container image "x" is not present'), 'image "x" is not present'],
    [waits('ImagePullBackOff', 'Back-off pulling image "x"'), 'Back-off pulling image "x"'],
    [waits('InvalidImageName'), 'InvalidImageName'],
    [waits('CreateContainerConfigError', 'secret "s3" not found'), 'secret "s3" not found'],
    [unscheduled, '0/2 nodes: Insufficient memory.'],
  ];
  for (const [status, words] of cases) {
    const [text, ...more] = texts([pod('w-0', status)]);
    assert.ok(text?.startsWith('w-0 does not start: ') && text.endsWith(words), text);
    assert.deepEqual(more, []);
  }
  const usual = [
    pod('a', waits('ContainerCreating')),
    pod('b', {}),
    pod('c', { phase: 'Running', containerStatuses: [{ state: { running: {} } }] }),
    pod('d', ended(1, 'Error')),
    pod('e', ended(0, 'Completed')),
  ];
  assert.deepEqual(texts(usual), []);
});

test('the same trouble is said once, whatever it is called meanwhile', () => {
  const pulls = [waits('ErrImagePull', 'not found'), waits('ImagePullBackOff', 'Back-off')];
  const pods = pulls.map((status, i) => pod(`w-${i}`, status));
  assert.deepEqual(texts([...pods, pod('c', pulls[0] ?? {}, 'coordinator')]), [
    'w-0 does not start: not found (and 1 more)',
    'c does not start: not found',
  ]);
  const keys = pulls.map((status) => troublesOf([pod('w', status)], [], nowMs)[0]?.key);
  assert.equal(keys[0], keys[1]);
});

test('warnings say why there is no pod, or no volume, as long as they are fresh', () => {
  const quota = 'pods "faces-worker-0-x" is forbidden: exceeded quota: small';
  const events = [
    warning('Job', 'faces-worker', 'FailedCreate', quota),
    warning('Pod', 'w-0', 'FailedMount', 'configmap "faces-run" not found'),
    warning('Pod', 'w-1', 'FailedMount', 'over by now'),
    warning('Pod', 'w-0', 'BackOff', 'said by the pod itself'),
    warning('Job', 'faces-coordinator', 'FailedCreate', 'long ago', -600),
  ];
  const pods = [
    pod('w-0', waits('ContainerCreating')),
    pod('w-1', { phase: 'Running', containerStatuses: [{ state: { running: {} } }] }),
  ];
  assert.deepEqual(texts(pods, events), [
    `Job faces-worker: ${quota}`,
    'Pod w-0: configmap "faces-run" not found',
  ]);
});

test('exit code 137 says memory where it was memory, and how much there was', () => {
  const killed = pod('w-0', ended(137, 'OOMKilled'));
  assert.equal(whyNot(killed), 'ran out of memory: it may have 2Gi (--memory-per-worker)');
  assert.deepEqual(texts([killed]), [`w-0 ${whyNot(killed)}`]);
  assert.equal(whyNot(pod('w-0', ended(137, 'Error'))), 'exit code 137');
  const leader = pod('c', ended(137, 'OOMKilled'), 'coordinator');
  assert.equal(whyNot(leader), 'ran out of memory: it may have 2Gi');
});

test('a worker that runs out of memory three times in a row is hopeless', () => {
  const life = (n: number, how: object, index = '1') => {
    const one = pod(`w-${index}-${n}`, how, 'worker', index);
    return { ...one, metadata: { ...one.metadata, creationTimestamp: at(100 * n) } };
  };
  const oom = (n: number, index?: string, endS = 60) =>
    life(n, ended(137, 'OOMKilled', 0, endS), index);
  const why = 'worker-1 ran out of memory 3 times in a row: it may have 2Gi; ';
  const three = [oom(3), oom(1), oom(2)];
  assert.equal(hopelessMemory(three), `${why}--memory-per-worker gives it more`);
  const runs = life(4, { phase: 'Running', containerStatuses: [{ state: { running: {} } }] });
  assert.match(hopelessMemory([...three, runs]) ?? '', /worker-1/);
  const others: [string, V1Pod[]][] = [
    ['two', [oom(1), oom(2)]],
    ['of several workers', [oom(1), oom(2), oom(3, '0')]],
    ['another end between', [oom(1), oom(2), life(3, ended(1, 'Error')), oom(4)]],
    ['another end last', [...three, life(4, ended(5, 'Error'))]],
    ['a long life', [oom(1), oom(2), oom(3, '1', 4000)]],
    ['no workers', three.map((one) => ({ ...one, metadata: { name: 'x' } }))],
  ];
  for (const [what, pods] of others) assert.equal(hopelessMemory(pods), undefined, what);
});
