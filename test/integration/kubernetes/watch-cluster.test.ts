// `lockstep watch k8s://...` through fakes of the API server and of two coordinators' pods: it
// outlives a fail-over, and ends at once where the cluster does not allow it.

import assert from 'node:assert/strict';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { ports } from '../../../cli/kubernetes/names.js';
import {
  operatorService,
  type OperatorRequests,
} from '../../../coordinator/edge/operator-service.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import { createRunHistory } from '../../../watch/history/history.js';
import type { RunPicture } from '../../../watch/history/picture.js';
import { FakeApiServer } from '../../support/kubernetes/fake-api-server.js';
import { startLockstep } from '../../support/lockstep-command.js';
import { listen } from '../../support/servers.js';
import { testFolder } from '../../support/tiny-run.js';
import { until } from '../../support/until.js';
import { longStory } from '../../support/watch/run-story.js';

const folder = testFolder();
const page = createServer((_, response) => void response.end('the page'));
let pagePort: number;
let cluster: FakeApiServer;
before(async () => void (pagePort = await listen(page)));
after(() => {
  page.closeAllConnections();
  page.close();
});
beforeEach(async () => {
  cluster = await new FakeApiServer().listen();
  await writeFile(join(folder, 'config'), cluster.config().exportConfig());
});
afterEach(() => cluster.close());

const watch = (said: string[], ...args: string[]) =>
  startLockstep(
    ['watch', 'k8s://training/faces', '--json', ...args],
    folder,
    { KUBECONFIG: join(folder, 'config') },
    undefined,
    { onLine: () => undefined, onSaid: (text) => void said.push(text) },
  );

/** A coordinator's way to be asked, which says no until it leads. */
async function startCoordinator(steps: number) {
  const history = createRunHistory();
  for (const event of longStory(steps)) history.add(event);
  const picture = (): RunPicture => ({ ...history.picture(), run: 'faces' });
  const state = { leads: true, asked: 0 };
  const server = new Server();
  operatorService(() => {
    state.asked += 1;
    return state.leads ? ({ picture } as OperatorRequests) : undefined;
  })(server);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  return { port, state, stop: () => server.forceShutdown() };
}

function addPod(pod: string): void {
  const labels = {
    'app.kubernetes.io/name': 'lockstep',
    'app.kubernetes.io/instance': 'faces',
    'app.kubernetes.io/component': 'coordinator',
  };
  const metadata = { name: pod, labels };
  cluster.change(`/api/v1/namespaces/training/pods/${pod}`, {
    ...{ metadata, status: { phase: 'Running' } },
  });
}

const holdLease = (pod: string): void =>
  void cluster.change('/apis/coordination.k8s.io/v1/namespaces/training/leases/faces', {
    ...{ metadata: { name: 'faces' }, spec: { holderIdentity: `${pod}_1` } },
  });

test('it outlives a dead pod with the Lease, and one that does not lead yet', async (t) => {
  const [first, second] = [await startCoordinator(20), await startCoordinator(30)];
  let isFirstDead = false;
  let refused = 0;
  cluster.carry((path, port) => {
    const isFirst = path.includes('faces-coordinator-a/');
    if (isFirst && isFirstDead) return ((refused += 1), '404 Not Found');
    return port === ports.page ? pagePort : (isFirst ? first : second).port;
  });
  addPod('faces-coordinator-a');
  addPod('faces-coordinator-b');
  holdLease('faces-coordinator-a');
  const said: string[] = [];
  const watching = watch(said);
  t.after(() => {
    watching.process.kill('SIGKILL');
    second.stop();
  });
  const stepsSeen = (): unknown[] => watching.lines().map(({ step }) => step);
  await until(() => stepsSeen().includes(20), 'the first leader is seen');
  const address = /watch it at (\S+)/.exec(said.join())?.[1] ?? '';
  assert.equal(await (await fetch(address)).text(), 'the page');

  [isFirstDead, second.state.leads] = [true, false];
  first.stop();
  await until(() => refused > 0, 'the dead one is tried');
  holdLease('faces-coordinator-b');
  await until(() => second.state.asked > 0, 'the second is asked');
  second.state.leads = true;
  await until(() => stepsSeen().includes(30), 'the second leader is seen');
  assert.equal(await (await fetch(address)).text(), 'the page');
  assert.equal(said.filter((text) => text.includes('watch it at')).length, 1);

  watching.process.kill('SIGINT');
  assert.equal((await watching.result).code, exitCodes.interrupted);
});

test('once, it opens no page', async () => {
  const leader = await startCoordinator(20);
  const asked: number[] = [];
  cluster.carry((_, port) => (asked.push(port), leader.port));
  addPod('faces-coordinator-a');
  holdLease('faces-coordinator-a');
  const said: string[] = [];
  const { code, lines } = await watch(said, '--once').result;
  leader.stop();
  assert.deepEqual([code, lines.length, said], [exitCodes.ok, 1, []]);
  assert.ok(asked.every((port) => port === ports.control));
});

test('what the cluster does not allow ends it at once', async () => {
  cluster.carry(() => '403 Forbidden');
  addPod('faces-coordinator-a');
  holdLease('faces-coordinator-a');
  const { code, stderr } = await watch([]).result;
  assert.equal(code, exitCodes.configuration);
  assert.match(stderr, /no way to port 7400 .*403/);
});
