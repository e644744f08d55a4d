// The way to a pod's port, through a server that carries WebSockets as an API server and a kubelet
// do. And which pod the way is to.

import assert from 'node:assert/strict';
import { KubeConfig } from '@kubernetes/client-node';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { createClusterClient } from '../../../cli/kubernetes/client/cluster-client.js';
import { forwardPort } from '../../../cli/kubernetes/client/port-forward.js';
import { findLeaderPod } from '../../../cli/kubernetes/leader-pod.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import { FakeApiServer } from '../../support/kubernetes/fake-api-server.js';
import { carryToPods } from '../../support/kubernetes/fake-kubelet.js';
import { freePort, listen } from '../../support/servers.js';
import { until } from '../../support/until.js';

const paths: string[] = [];
let page: Server;
let kubelet: Server;
let config: KubeConfig;

before(async () => {
  page = createServer((request, response) => {
    if (request.url === '/cut') response.destroy();
    else response.end(`page ${request.url} ${'x'.repeat(200_000)}`);
  });
  await listen(page);
  kubelet = createServer();
  carryToPods(kubelet, (path, port) => {
    paths.push(path);
    return path.includes('/secret/') ? '403 Forbidden' : port;
  });
  const server = `http://127.0.0.1:${await listen(kubelet)}`;
  config = new KubeConfig();
  config.loadFromOptions({
    clusters: [{ name: 'fake', server, skipTLSVerify: true }],
    users: [{ name: 'fake', token: 'a-token' }],
    contexts: [{ name: 'fake', cluster: 'fake', user: 'fake' }],
    currentContext: 'fake',
  });
});
after(() => {
  for (const server of [page, kubelet]) {
    server.closeAllConnections();
    server.close();
  }
});

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

test('connections reach the port of the pod, several at a time, whole', async () => {
  const target = { namespace: 'training', pod: 'faces-coordinator-x', port: portOf(page) };
  const forwarded = await forwardPort(config, target);
  const ask = async (path: string): Promise<string> =>
    (await fetch(`http://127.0.0.1:${forwarded.localPort}${path}`)).text();
  const bodies = await Promise.all(['/a', '/b', '/c'].map(ask));
  assert.deepEqual(
    bodies.map((body) => [body.slice(0, 7), body.length]),
    ['/a', '/b', '/c'].map((path) => [`page ${path}`, 200_008]),
  );
  assert.ok(
    paths.includes(
      `/api/v1/namespaces/training/pods/faces-coordinator-x/portforward?ports=${target.port}`,
    ),
  );
  await assert.rejects(ask('/cut'));
  await forwarded.close();
  await assert.rejects(ask('/a'));
});

test('a pod that does not listen is told of with the connection', async () => {
  const troubles: string[] = [];
  const target = { namespace: 'training', pod: 'p', port: await freePort() };
  const onTrouble = (reason: string): void => void troubles.push(reason);
  const forwarded = await forwardPort(config, target, { onTrouble });
  await assert.rejects(fetch(`http://127.0.0.1:${forwarded.localPort}/`));
  await until(() => troubles.length > 0, 'it is told');
  assert.match(troubles[0] ?? '', /error forwarding port \d+: connect ECONNREFUSED/);
  await forwarded.close();
});

test('a refusal is told at once, with the right that it takes', async () => {
  const target = { namespace: 'secret', pod: 'p', port: 7480 };
  await assert.rejects(forwardPort(config, target), {
    message: /no way to port 7480 of pod p through http:\/\/127\.0\.0\.1:\d+: .*403/,
    hint: /get and create pods\/portforward/,
    exitCode: exitCodes.configuration,
  });
});

test('the leader is the pod that holds the Lease, or else the one that is ready', async () => {
  const server = await new FakeApiServer().listen();
  try {
    const client = createClusterClient(server.config(), { onWait: () => undefined });
    const run = { namespace: 'n', name: 'faces' };
    assert.equal(await findLeaderPod(client, run), undefined);
    const labels = {
      'app.kubernetes.io/name': 'lockstep',
      'app.kubernetes.io/instance': 'faces',
      'app.kubernetes.io/component': 'coordinator',
    };
    const pod = (name: string, ready: string): void =>
      void server.change(`/api/v1/namespaces/n/pods/${name}`, {
        metadata: { name, labels },
        status: { phase: 'Running', conditions: [{ type: 'Ready', status: ready }] },
      });
    const hold = (holderIdentity: string): void =>
      void server.change('/apis/coordination.k8s.io/v1/namespaces/n/leases/faces', {
        metadata: { name: 'faces' },
        spec: { holderIdentity },
      });
    pod('faces-coordinator-a', 'False');
    pod('faces-coordinator-b', 'True');
    assert.equal(await findLeaderPod(client, run), 'faces-coordinator-b');
    hold('faces-coordinator-a_0b2c');
    assert.equal(await findLeaderPod(client, run), 'faces-coordinator-a');
    hold('a-host-of-no-pod_0b2c');
    assert.equal(await findLeaderPod(client, run), 'faces-coordinator-b');
    server.inflict({ path: /pods$/, status: 403, reason: 'Forbidden' });
    hold('faces-coordinator-a_0b2c');
    assert.equal(await findLeaderPod(client, run), 'faces-coordinator-a');
  } finally {
    await server.close();
  }
});
