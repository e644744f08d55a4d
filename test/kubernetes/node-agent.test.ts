// The node agent does for a pod what a node does, as far as the tests of launched runs need it.
// These pods run a few lines of Node each.

import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { after, afterEach, before, describe, it } from 'node:test';
import type { V1Pod } from '@kubernetes/client-node';
import { until } from '../support/until.js';
import { restricted, startCluster, tellFailure, type Cluster } from './cluster.js';
import { skipWithoutControlPlane } from './control-plane.js';
import { jobObject, podObject, podSpec, scriptContainer } from './trivial-pods.js';

const namespace = 'agent';
const terminated = (pod: V1Pod | undefined) =>
  pod?.status?.containerStatuses?.[0]?.state?.terminated;
const isOver = (pod: V1Pod | undefined): boolean =>
  ['Succeeded', 'Failed'].includes(pod?.status?.phase ?? '');

/** Lives until SIGTERM, and says so. */
const leaves = (code: number): string => `
  process.on('SIGTERM', () => { console.log('leaving'); process.exit(${code}); });
  setInterval(() => {}, 1000); console.log('here');`;

describe('pods on the node agent', { skip: skipWithoutControlPlane() }, () => {
  let cluster: Cluster;
  const kubectl = (args: string, input?: string): Promise<string> =>
    cluster.plane.ask(['-n', namespace, ...args.split(' ')], input);
  const apply = (manifest: string): Promise<string> => kubectl('apply -f -', manifest);
  /** The pod's log once it is over. */
  const outputOf = async (name: string): Promise<string> => {
    await cluster.podIs(namespace, name, isOver);
    return kubectl(`logs ${name}`);
  };
  const saysOf = (name: string, text: string): Promise<unknown> =>
    cluster.podIs(namespace, name, () => cluster.agent.log(namespace, name, 'main').includes(text));
  before(async () => {
    cluster = await startCluster({ entrypoint: () => [process.execPath] });
    await cluster.plane.createNamespace(namespace, restricted);
  });
  after(() => cluster?.close());
  afterEach((test) => tellFailure(test, cluster));

  it('are bound to nodes that have what they ask for, and only to those', async () => {
    const gpus = (count: string) => ({ resources: { limits: { 'nvidia.com/gpu': count } } });
    const idle = 'setInterval(() => {}, 1000)';
    for (const [name, count] of [
      ['fits', '3'],
      ['fits-too', '3'],
      ['waits', '3'],
    ] as const)
      await apply(podObject(name, podSpec(scriptContainer(idle, gpus(count)))));
    await kubectl('wait --for=condition=Ready pod/fits pod/fits-too --timeout=30s');
    await kubectl('wait --for=condition=PodScheduled=False pod/waits --timeout=30s');
    const nodes = await kubectl('get pods -o jsonpath={.items[*].spec.nodeName}');
    assert.deepEqual(nodes.split(' ').sort(), ['node-a', 'node-b']);
    await kubectl('delete pod fits fits-too waits --grace-period=1');
  });

  it('are judged by their exit codes', async () => {
    const onCode = (action: string, code: number) => ({
      ...{ action, onExitCodes: { operator: 'In', values: [code] } },
    });
    const policy = { rules: [onCode('FailJob', 78), onCode('Ignore', 5)] };
    const exits = (code: number) => podSpec(scriptContainer(`process.exit(${code})`));
    const more = { completions: 1, backoffLimit: 6, podFailurePolicy: policy };
    await apply(jobObject('refused', exits(78), more));
    await kubectl('wait --for=condition=Failed job/refused --timeout=60s');
    const reason = await kubectl('get job refused -o jsonpath={.status.conditions[*].reason}');
    assert.match(reason, /PodFailurePolicy/);
    await apply(jobObject('drained', exits(5), { ...more, backoffLimit: 0 }));
    const isReplaced = async (): Promise<boolean> =>
      (await cluster.pods(namespace, 'job-name=drained')).length > 1;
    await until(isReplaced, 'another pod came for the one that was drained', 30_000);
    const { status } = await cluster.batch.readNamespacedJob({ namespace, name: 'drained' });
    assert.ok(!status?.conditions?.some(({ type }) => type === 'Failed'));
    await kubectl('delete job drained refused');
  });

  it('get variables, arguments and files from fields, ConfigMaps and Secrets', async () => {
    await kubectl('create configmap settings --from-literal=colour=blue --from-literal=size=7');
    await kubectl('create secret generic keys --from-literal=KEY=opensesame');
    const script = `
      const { readFileSync } = require('node:fs');
      const text = (path) => readFileSync(path, 'utf8');
      require('node:fs').writeFileSync('/tmp/own', 'kept');
      const { COLOUR, KEY, IP, NODE, LABEL, ALL_size, GREETING, OPTIONAL } = process.env;
      const said = [COLOUR, KEY, NODE, LABEL, ALL_size, GREETING, OPTIONAL ?? 'none',
        process.argv[1], text('/etc/settings/only'), text('/etc/info/name'), text('/tmp/own')];
      console.log(said.join(' ')); console.log(IP);`;
    const field = (name: string, fieldPath: string) => ({
      ...{ name, valueFrom: { fieldRef: { fieldPath } } },
    });
    const container = scriptContainer(script, {
      args: ['-e', script, 'at=$(COLOUR):$$(COLOUR):$(NOTHING)'],
      envFrom: [{ prefix: 'ALL_', configMapRef: { name: 'settings' } }],
      env: [
        { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'colour' } } },
        { name: 'KEY', valueFrom: { secretKeyRef: { name: 'keys', key: 'KEY' } } },
        {
          name: 'OPTIONAL',
          valueFrom: { secretKeyRef: { name: 'no-such', key: 'KEY', optional: true } },
        },
        field('IP', 'status.podIP'),
        field('NODE', 'spec.nodeName'),
        field('LABEL', "metadata.labels['colour']"),
        { name: 'GREETING', value: 'hello-$(COLOUR)' },
      ],
      volumeMounts: [
        { name: 'settings', mountPath: '/etc/settings', readOnly: true },
        { name: 'info', mountPath: '/etc/info' },
        { name: 'tmp', mountPath: '/tmp' },
      ],
    });
    const volumes = [
      { name: 'settings', configMap: { name: 'settings', items: [{ key: 'size', path: 'only' }] } },
      {
        name: 'info',
        downwardAPI: { items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.name' } }] },
      },
      { name: 'tmp', emptyDir: {} },
    ];
    await apply(podObject('told', podSpec(container, { volumes }), { colour: 'red' }));
    const pod = await cluster.podIs(namespace, 'told', isOver);
    const [said, ip] = (await outputOf('told')).trim().split('\n');
    const node = pod?.spec?.nodeName;
    const expected = `blue opensesame ${node} red 7 hello-blue none at=blue:$(COLOUR):$(NOTHING)`;
    assert.equal(said, `${expected} 7 told kept`);
    assert.equal(ip, pod?.status?.podIP);
    assert.match(ip ?? '', /^127\./);
  });

  it('wait for the ConfigMap they refer to', async () => {
    const env = [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'late', key: 'a' } } }];
    await apply(
      podObject('early', podSpec(scriptContainer('console.log(process.env.A)', { env }))),
    );
    const waiting = await cluster.podIs(
      ...([namespace, 'early'] as const),
      (pod) => pod?.status?.containerStatuses?.[0]?.state?.waiting?.message !== undefined,
    );
    const state = waiting?.status?.containerStatuses?.[0]?.state?.waiting;
    assert.equal(state?.reason, 'CreateContainerConfigError');
    assert.match(state?.message ?? '', /configmap "late" not found/);
    await kubectl('create configmap late --from-literal=a=there');
    assert.equal(await outputOf('early'), 'there\n');
  });

  it('get SIGTERM when they are deleted, and SIGKILL after their grace period', async () => {
    const ignores =
      "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('here')";
    const specs = {
      obeys: podSpec(scriptContainer(leaves(5))),
      ignores: podSpec(scriptContainer(ignores), { terminationGracePeriodSeconds: 2 }),
    };
    for (const [name, spec] of Object.entries(specs)) {
      // Held by a finalizer, so that the end can be seen.
      await apply(podObject(name, spec, {}, ['lockstep.dev/test']));
      await saysOf(name, 'here');
    }
    const startMs = performance.now();
    await kubectl('delete pod obeys ignores --wait=false');
    const ends = await Promise.all(
      Object.keys(specs).map((name) => cluster.podIs(namespace, name, isOver)),
    );
    const tookMs = performance.now() - startMs;
    assert.deepEqual(
      ends.map((pod) => terminated(pod)?.exitCode),
      [5, 128 + constants.signals.SIGKILL],
    );
    assert.ok(tookMs >= 1_900, `${tookMs} ms`);
    assert.match(await kubectl('logs obeys'), /leaving/);
    for (const name of Object.keys(specs)) {
      await kubectl(`patch pod ${name} --type=merge -p {"metadata":{"finalizers":null}}`);
      await cluster.podIs(namespace, name, (pod) => pod === undefined);
    }
  });

  it('show their log while they write it', async () => {
    const script = `let n = 0; setInterval(() => console.log('line ' + n++), 100);`;
    await apply(podObject('talks', podSpec(scriptContainer(script))));
    await kubectl('wait --for=condition=Ready pod/talks --timeout=30s');
    const followed = kubectl('logs talks -f --tail=2 --timestamps');
    await saysOf('talks', 'line 20\n');
    await kubectl('delete pod talks --grace-period=1');
    const lines = (await followed).trim().split('\n');
    assert.ok(lines.length > 3, lines.join('\n'));
    const numbers = lines.map((line) => Number(/^\S+\.\d{9}Z line (\d+)$/.exec(line)?.[1]));
    assert.deepEqual(
      numbers,
      numbers.map((_, i) => (numbers[0] ?? NaN) + i),
    );
  });

  it('reach Services by name: refused while no pod is ready, and headless ones directly', async () => {
    const service = (name: string, more: object) =>
      JSON.stringify({
        ...{ apiVersion: 'v1', kind: 'Service', metadata: { name } },
        spec: { selector: { app: 'echo' }, ports: [{ port: 80, targetPort: 'echo' }], ...more },
      });
    await apply(service('echo', {}));
    await apply(service('echoes', { clusterIP: 'None', publishNotReadyAddresses: true }));
    const dial = (host: string, port: number): string => `
      const socket = require('node:net').connect(${port}, '${host}');
      socket.on('data', (data) => { console.log(String(data)); process.exit(); });
      socket.on('error', (error) => { console.log(error.code); process.exit(); });`;
    const dials = (name: string, host: string, port = 80): Promise<unknown> =>
      apply(podObject(name, podSpec(scriptContainer(dial(host, port)))));
    await dials('dial-early', 'echo');
    assert.equal(await outputOf('dial-early'), 'ECONNREFUSED\n');
    // A probe hangs up without reading, which resets the connection.
    const server = `require('node:net').createServer((socket) => socket
      .on('error', () => undefined).end('from ' + process.env.IP)).listen(9000, process.env.IP)`;
    const container = scriptContainer(server, {
      env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
      ports: [{ name: 'echo', containerPort: 9000 }],
      readinessProbe: { tcpSocket: { port: 'echo' }, periodSeconds: 1 },
    });
    const more = { hostname: 'first', subdomain: 'echoes' };
    await apply(podObject('echo-0', podSpec(container, more), { app: 'echo' }));
    await kubectl('wait --for=condition=Ready pod/echo-0 --timeout=30s');
    const ip = await kubectl('get pod echo-0 -o jsonpath={.status.podIP}');
    await dials('dial-name', 'echo');
    await dials('dial-whole-name', `echo.${namespace}.svc.cluster.local`);
    await dials('dial-headless', 'echoes', 9000);
    await dials('dial-pod', 'first.echoes', 9000);
    await dials('dial-nobody', 'nobody');
    for (const name of ['dial-name', 'dial-whole-name', 'dial-headless', 'dial-pod'])
      assert.equal(await outputOf(name), `from ${ip}\n`, name);
    assert.equal(await outputOf('dial-nobody'), 'ENOTFOUND\n');
    await kubectl('delete pod echo-0 --grace-period=1');
    await dials('dial-late', 'echo');
    assert.equal(await outputOf('dial-late'), 'ECONNREFUSED\n');
  });
});
