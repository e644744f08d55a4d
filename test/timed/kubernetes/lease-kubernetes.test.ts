// The lease in Kubernetes, against a server that has conflicts, refuses, is busy, slow, and loses
// connections: one holder at a time, the next one in time, and nothing lost that others wrote.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ElectionTiming } from '../../../coordinator/core/election.js';
import { createKubernetesLease } from '../../../coordinator/edge/kubernetes-lease.js';
import { leaseAnnotations, parseLeaseUrl } from '../../../shared/kubernetes/lease-place.js';
import { OperatorError } from '../../../shared/problems.js';
import { FakeApiServer, type FakeObject } from '../../support/kubernetes/fake-api-server.js';
import { until } from '../../support/until.js';

const runUrl = 's3://bucket/runs/faces';

/** As in production, five times as fast. */
const timing: ElectionTiming = {
  leaseMs: 3_000,
  renewDeadlineMs: 2_000,
  retryMs: 400,
  requestMs: 300,
};

let server: FakeApiServer;
let folder: string;
let names = 0;

/** A Lease as it comes over the wire. */
interface WireLease extends FakeObject {
  readonly spec: {
    readonly holderIdentity: string;
    readonly leaseDurationSeconds: number;
    readonly leaseTransitions: number;
    readonly renewTime: string;
    readonly acquireTime: string;
  };
}

/** A coordinator as far as the lease goes. */
interface Contender {
  readonly lease: ReturnType<typeof createKubernetesLease>;
  readonly notices: string[];
  readonly acquired: Promise<void>;
  isHolder: boolean;
  heldAtMs: number;
  lost: string | undefined;
}

/** The token of a contender's requests is the name of the lease and its own. */
async function contend(name: string, who: string): Promise<Contender> {
  const notices: string[] = [];
  const kubeconfig = join(folder, `kubeconfig-${name}-${who}`);
  await writeFile(kubeconfig, server.config(`${name}-${who}`).exportConfig());
  const onNotice = (text: string): void => void notices.push(text);
  const lease = createKubernetesLease({
    ...{ url: `k8s://ns/${name}`, runUrl, onNotice, timing, kubeconfig },
  });
  const acquired = lease.acquire(new AbortController().signal);
  const contender: Contender = {
    ...{ lease, notices, acquired, isHolder: false, heldAtMs: 0, lost: undefined },
  };
  lease.onLost((reason) => {
    contender.isHolder = false;
    contender.lost = reason;
  });
  acquired.then(
    () => Object.assign(contender, { isHolder: true, heldAtMs: performance.now() }),
    () => undefined,
  );
  return contender;
}

const pathOf = (name: string): string =>
  `/apis/coordination.k8s.io/v1/namespaces/ns/leases/${name}`;
const stored = (name: string): WireLease => {
  const lease = server.objects.get(pathOf(name));
  assert.ok(lease !== undefined, `the lease ${name}`);
  return lease as WireLease;
};

/** Waits until the lease was renewed so many times. */
async function renewals(name: string, count: number): Promise<void> {
  const seen = new Set<string>();
  await until(() => seen.add(stored(name).spec.renewTime).size > count, `${count} renewals`);
}

const newName = (): string => `run-${(names += 1)}`;

/** A new lease, and the contender that holds it. */
async function heldLease() {
  const name = newName();
  const a = await contend(name, 'a');
  await a.acquired;
  return { name, a };
}

/** The second contender, once it knows that the lease is held. */
async function standBy(name: string) {
  const b = await contend(name, 'b');
  await until(() => b.notices.length > 0, 'b stands by');
  return b;
}

before(async () => {
  server = await new FakeApiServer().listen();
  folder = await mkdtemp(join(tmpdir(), 'lockstep-lease-'));
});

after(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

describe('a lease in Kubernetes', { concurrency: true }, () => {
  it('is created, renewed, given up, and taken at once by the next one', async () => {
    const { name, a } = await heldLease();
    const first = stored(name);
    assert.match(first.spec.holderIdentity, /_[0-9a-f-]{36}$/);
    assert.deepEqual(
      [first.spec.leaseDurationSeconds, first.spec.leaseTransitions, a.lease.transitions],
      [3, 0, 0],
    );
    assert.equal(first.metadata.labels?.['app.kubernetes.io/instance'], name);
    await renewals(name, 2);
    assert.equal(stored(name).spec.acquireTime, first.spec.acquireTime);
    const b = await standBy(name);
    assert.deepEqual(b.notices, [`the run is led by ${first.spec.holderIdentity}: standing by`]);
    const startMs = performance.now();
    await a.lease.release();
    assert.equal(stored(name).spec.holderIdentity, '');
    await b.acquired;
    assert.ok(performance.now() - startMs < 2_000);
    assert.deepEqual([stored(name).spec.leaseTransitions, b.lease.transitions], [1, 1]);
    assert.equal(a.lost, undefined);
    await b.lease.release();
  });

  it('says that the run is finished only if its holder has said so, of this run', async () => {
    const finished = { kind: 'finished', step: 9, sha256: 'abc', reason: '', exitCode: 0 };
    const cases: [object, boolean][] = [
      [{ url: runUrl, result: finished }, true],
      [{ url: 's3://bucket/runs/other', result: finished }, false],
      [{ url: runUrl, result: { ...finished, kind: 'failed' } }, false],
      [{ url: runUrl }, false],
    ];
    for (const [status, expected] of cases) {
      const { name, a } = await heldLease();
      a.lease.show(() => status);
      const b = await standBy(name);
      await a.lease.release(true);
      await b.acquired;
      assert.equal(b.lease.saysFinished, expected, JSON.stringify(status));
      await b.lease.release(true);
      // The word stays for the next one that stood by.
      const text = stored(name).metadata.annotations?.[leaseAnnotations.status] ?? '';
      assert.deepEqual(JSON.parse(text), status);
    }
  });

  it('shows what its holder tells, and keeps what others wrote', async () => {
    const { name, a } = await heldLease();
    const wanted: number[] = [];
    a.lease.onWorkers((workers) => wanted.push(workers));
    let step = 0;
    a.lease.show(() => ({ step: ++step }));
    await renewals(name, 1);
    server.change(pathOf(name), {
      metadata: { annotations: { other: 'kept', [leaseAnnotations.workers]: 'many' } },
    });
    await renewals(name, 2);
    server.change(pathOf(name), { metadata: { annotations: { [leaseAnnotations.workers]: '5' } } });
    await until(() => wanted.length > 0, 'the number of workers');
    server.change(pathOf(name), { metadata: { annotations: { [leaseAnnotations.workers]: '2' } } });
    await until(() => wanted.length > 1, 'another number of workers');
    assert.deepEqual([wanted, a.lease.workers], [[5, 2], 2]);
    await a.lease.release();
    const annotations = stored(name).metadata.annotations ?? {};
    assert.equal(annotations['other'], 'kept');
    assert.equal(annotations[leaseAnnotations.workers], '2');
    assert.deepEqual(JSON.parse(annotations[leaseAnnotations.status] ?? ''), { step });
    assert.equal(a.lost, undefined, 'conflicts with other writers cost nothing');
    assert.deepEqual(a.notices, []);
    // Who takes it next knows the number from the start.
    const b = await contend(name, 'b');
    await b.acquired;
    assert.equal(b.lease.workers, 2);
    await b.lease.release();
  });

  it('passes on in time from a holder that is cut off, which has stopped before', async () => {
    const { name, a } = await heldLease();
    const b = await contend(name, 'b');
    await renewals(name, 1);
    let lostAtMs = 0;
    a.lease.onLost(() => (lostAtMs = performance.now()));
    server.inflict({ cut: 'before', token: `${name}-a` });
    await until(() => b.isHolder, 'b holds it');
    assert.match(a.lost ?? '', /^it could not be renewed for 2 s: .*(hang up|ECONNRESET)/);
    assert.ok(lostAtMs < b.heldAtMs - 500, 'a second before, less the time of a look');
    // A listener that comes later gets it as well.
    let later: string | undefined;
    a.lease.onLost((reason) => (later = reason));
    assert.equal(later, a.lost);
    await b.lease.release();
  });

  for (const [fault, words] of [
    [{ status: 500 }, /HTTP 500: .*on purpose/],
    [{ status: 410 }, /HTTP 410/],
    [{ status: 429, retryAfterS: 1 }, /HTTP 429/],
    [{ cut: 'before' }, /hang up|ECONNRESET/],
    [{ delayMs: 700 }, /no answer within 0\.3 s/],
  ] as const)
    it(`is kept by a holder that meets ${JSON.stringify(fault)} for a second`, async () => {
      const { name, a } = await heldLease();
      const troubled = { ...fault, token: `${name}-a`, times: Infinity };
      server.inflict(troubled);
      await until(() => a.notices.length > 0, 'a tells of it');
      assert.match(a.notices[0] ?? '', /^the lease of the run can't be reached: /);
      assert.match(a.notices[0] ?? '', words);
      const startMs = performance.now();
      await until(() => performance.now() - startMs > 600, 'it lasts');
      server.clear(troubled);
      await until(() => a.notices.length > 1, 'a tells that it is over');
      assert.equal(a.notices.at(-1), 'the lease of the run can be reached again');
      await renewals(name, 2);
      assert.equal(a.lost, undefined);
      assert.equal(stored(name).spec.leaseTransitions, 0);
      await a.lease.release();
    });

  it('is asked for no sooner than the server wants', async () => {
    const name = newName();
    server.inflict({ status: 429, retryAfterS: 2, times: 1, token: `${name}-a` });
    const a = await contend(name, 'a');
    await a.acquired;
    const [refused, next] = server.requests.filter(({ token }) => token === `${name}-a`);
    assert.ok((next?.atMs ?? 0) - (refused?.atMs ?? 0) > 1_900);
    await a.lease.release();
  });

  it('is got although the answer to the write was lost', async () => {
    const name = newName();
    server.inflict({ cut: 'after', method: 'POST', times: 1, token: `${name}-a` });
    const a = await contend(name, 'a');
    await a.acquired;
    assert.equal(stored(name).spec.leaseTransitions, 0);
    server.inflict({ cut: 'after', method: 'PUT', times: 2, token: `${name}-a` });
    await renewals(name, 4);
    assert.equal(a.lost, undefined);
    await a.lease.release();
  });

  it('is waited for while it may not be read, and got when it may', async () => {
    const name = newName();
    const refusal = { status: 403, token: `${name}-a` };
    server.inflict(refusal);
    const a = await contend(name, 'a');
    await until(() => a.notices.length > 0, 'a says why');
    assert.match(a.notices[0] ?? '', /can't be reached: HTTP 403/);
    server.clear(refusal);
    await a.acquired;
    assert.deepEqual(a.notices.slice(1), ['the lease of the run can be reached again']);
    await a.lease.release();
  });

  it('is lost by a holder whose Lease was deleted, and made anew by another', async () => {
    const { name, a } = await heldLease();
    const b = await standBy(name);
    server.remove(pathOf(name));
    await b.acquired;
    assert.equal(a.lost, 'it could not be renewed for 2 s: the lease was deleted');
    await b.lease.release();
  });

  it('is waited for no longer than asked', async () => {
    const { name, a } = await heldLease();
    const stop = new AbortController();
    const kubeconfig = join(folder, `kubeconfig-${name}-a`);
    const onNotice = (): void => void stop.abort(new Error('stop'));
    const b = createKubernetesLease({
      ...{ url: `k8s://ns/${name}`, runUrl, onNotice, timing, kubeconfig },
    });
    await assert.rejects(b.acquire(stop.signal), /stop/);
    await b.release();
    await a.lease.release();
  });
});

it('a lease is named by a namespace and a name', () => {
  assert.deepEqual(parseLeaseUrl('k8s://training/faces-1'), {
    namespace: 'training',
    name: 'faces-1',
  });
  for (const bad of ['k8s://training', 'k8s://a/b/c', 'k8s:///x', 'nats://a/b', 'k8s://A/b'])
    assert.throws(() => parseLeaseUrl(bad), OperatorError, bad);
});
