// What reaches what in a cluster that enforces network policies, and what a pod of the run asks
// DNS.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { V1Pod, V1Secret } from '@kubernetes/client-node';
import { ports } from '../../../cli/kubernetes/names.js';
import { idle, podObject, podSpec, scriptContainer } from '../../kubernetes/trivial-pods.js';
import { image, untilSeen, type NodeCluster } from '../cluster.js';
import type { CaseContext } from '../context.js';
import { addressOf, launchedRun, nameOf, namespace } from '../launched-run.js';
import { hub } from '../machine/places.js';

const steps = 600;

/** Tells whether each HOST:PORT takes a connection within some seconds. */
const knock = `
  const { connect } = require('node:net');
  const answers = (place) => new Promise((resolve) => {
    const [host, port] = place.split(':');
    const socket = connect({ host, port: Number(port), timeout: 8000 });
    const end = (isOpen) => { socket.destroy(); resolve(isOpen); };
    socket.on('connect', () => end(true));
    for (const event of ['timeout', 'error']) socket.on(event, () => end(false));
  });
  Promise.all(process.argv.slice(1).map(answers)).then((all) => console.log(JSON.stringify(all)));`;

/** Prints the status of a host's answer about its metrics, to a certificate or to none. */
const askForMetrics = `
  const { request } = require('node:https');
  const [host, ...pems] = process.argv.slice(1);
  const [cert, key] = pems.map((pem) => Buffer.from(pem, 'base64'));
  const options = { host, port: ${ports.metrics}, path: '/metrics', cert, key };
  request({ ...options, rejectUnauthorized: false }, (answer) => {
    answer.resume();
    console.log(answer.statusCode);
  }).end();`;

/** A pod of nobody's. */
const stranger = podObject('stranger', podSpec(scriptContainer(idle, { image })));

/** What a pod reaches of some places. */
async function reached(
  cluster: NodeCluster,
  pod: string,
  places: readonly string[],
): Promise<Record<string, boolean>> {
  const command = ['-n', namespace, 'exec', pod, '--', 'node', '-e', knock, ...places];
  const answers = JSON.parse(await cluster.ask(command)) as boolean[];
  return Object.fromEntries(places.map((place, index) => [place, answers[index] === true]));
}

/** The status of a pod's answer to itself, which no policy keeps it from, about its metrics. */
async function metricsStatus(
  cluster: NodeCluster,
  pod: V1Pod,
  pems: readonly string[],
): Promise<number> {
  const script = ['node', '-e', askForMetrics, addressOf(pod), ...pems];
  return Number(await cluster.ask(['-n', namespace, 'exec', nameOf(pod), '--', ...script]));
}

/** Cases of who may talk to whom. */
export function doorCases({ cluster, files }: CaseContext): void {
  it('only those of the run reach its ports, and they only what they need', async () => {
    const run = launchedRun(cluster(), 'doors', await files().path(steps), 2);
    await cluster().ask(['-n', namespace, 'create', '-f', '-'], stranger);
    await run.launch(['--detach']);
    await run.hasReady(2);
    await run.goesOn(1);
    const ready = ['-n', namespace, 'wait', '--for=condition=Ready', 'pod/stranger'];
    await cluster().ask([...ready, '--timeout=55s']);
    const [worker, other] = await run.readyPods('worker');
    const control = `${addressOf(await run.leader())}:7400`;
    const exchange = `${addressOf(other)}:7401`;
    const s3 = `${hub.address}:${hub.s3Port}`;
    const api = `${hub.address}:${hub.apiPort}`;
    assert.deepEqual(await reached(cluster(), 'stranger', [control, exchange, s3, api]), {
      ...{ [control]: false, [exchange]: false, [s3]: true, [api]: true },
    });
    assert.deepEqual(await reached(cluster(), nameOf(worker), [control, exchange, s3, api]), {
      [control]: true,
      [exchange]: true,
      [s3]: true,
      [api]: false,
    });

    // Metrics are for who has a certificate of the run's operator.
    const secret = `/api/v1/namespaces/${namespace}/secrets/${run.name}-tls`;
    const { data } = await cluster().get<V1Secret>(secret);
    const pems = ['crt', 'key'].map((end) => data?.[`operator.${end}`] ?? assert.fail(end));
    const leader = await run.leader();
    assert.equal(await metricsStatus(cluster(), leader, []), 403);
    assert.equal(await metricsStatus(cluster(), leader, pems), 200);

    // Nothing outside of the cluster is asked for.
    const isOfCluster = (name: string): boolean => name.endsWith('.cluster.local');
    assert.ok(cluster().lookUps().some(isOfCluster), 'names of the cluster were asked for');
    const strange = cluster()
      .lookUps()
      .filter((name) => !isOfCluster(name));
    assert.deepEqual(
      [...new Set(strange)].filter((name) => name.includes('.')),
      [],
    );

    await cluster().ask(['-n', namespace, 'delete', 'pod', 'stranger', '--wait=false']);
    await run.command('cancel', run.url);
    const isGone = async (): Promise<boolean> => (await run.pods('worker')).length === 0;
    await untilSeen(isGone, 'the workers are gone', 60_000);
  });
}
