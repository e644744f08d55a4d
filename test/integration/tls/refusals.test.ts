// What certificates of the run's own authority do not open: the place of another worker, and for
// observers all that changes the run.

import * as grpc from '@grpc/grpc-js';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { OperatorRequests } from '../../../coordinator/edge/operator-service.js';
import { AdminError, createAdminClient, type AdminClient } from '../../../shared/control/admin.js';
import { chunkBytes } from '../../../shared/plan/step-vector.js';
import { Door } from '../../../shared/door/door.js';
import { openCertificates, type Certificates } from '../../../shared/tls/certificates.js';
import { fellowChannel } from '../../../shared/tls/mutual.js';
import { createGrpcExchange, exchangeServerOptions } from '../../../worker/exchange/grpc.js';
import { pullMethod, serializeHello } from '../../../worker/exchange/wire.js';
import type { ToCompute } from '../../../worker/network/ports.js';
import { createGrpcStateClient, createGrpcStateServer } from '../../../worker/transfer/grpc.js';
import { openClosedDesk, type ClosedDesk } from '../../support/tls/closed-desk.js';
import { createTlsFolder } from '../../support/tls/tls-folder.js';
import { until } from '../../support/until.js';

const worker = (name: string) => ({ role: 'worker', worker: name }) as const;
const [operator, observer] = [{ role: 'operator' }, { role: 'observer' }] as const;
const holders = [{ role: 'coordinator' } as const, operator, observer, ...['w0', 'w1'].map(worker)];
const endings: (() => void)[] = [];
/** What the server of worker w0 was asked for, and what it said of it. */
const facts: string[] = [];
let folder = '';
let peer = '';

function open(holder: Certificates['holder']): Certificates {
  const certificates = openCertificates({ folder, holder });
  endings.push(certificates.close);
  return certificates;
}

before(async () => {
  ({ folder } = await createTlsFolder('faces', holders));
  const certificates = open(worker('w0'));
  const server = new grpc.Server(exchangeServerOptions);
  const log = (fact: string): void => void facts.push(fact);
  const ignore = (): void => undefined;
  const events = { onJoined: ignore, onGathered: ignore, onReduced: ignore, onPeerLost: ignore };
  createGrpcExchange({ server, certificates, events, log });
  const toCompute = ({ kind }: ToCompute): void => void facts.push(kind);
  createGrpcStateServer(server, { toCompute, certificates, log }).setWorld(1, () => true);
  const door = new Door({}, ignore);
  peer = `127.0.0.1:${await door.listen(server, '127.0.0.1:0', certificates)}`;
  endings.push(() => (door.close(), server.forceShutdown()));
});
after(() => endings.forEach((end) => end()));

/** How the stream of the exchange ends for who says that it is `name`. */
async function pull(as: Certificates, name: string): Promise<grpc.StatusObject> {
  const { credentials, options } = fellowChannel(as, () => worker('w0'));
  const client = new grpc.Client(peer, credentials, options);
  const hello = {
    ...{ generation: 1, fromRank: 1, fromWorker: name, fromIncarnation: 1, toWorker: 'w0' },
    ...{ worldSize: 2, microShards: 2, chunkBytes, precision: 'float32' as const },
    ...{ lane: 0, lanes: 1 },
  };
  const raw = (bytes: Buffer): Buffer => bytes;
  const call = client.makeBidiStreamRequest(pullMethod.path, raw, raw);
  call.on('error', () => undefined).on('data', () => undefined);
  const status = new Promise<grpc.StatusObject>((resolve) => call.on('status', resolve));
  // The second one ends it, where the first did not.
  for (let sent = 0; sent < 2; sent++) call.write(serializeHello(hello));
  return status.finally(() => client.close());
}

/** Why worker w0 does not hand its state to who says that it is `name`; undefined: it was asked. */
async function fetchState(certificates: Certificates, name: string): Promise<string | undefined> {
  const said: ToCompute[] = [];
  const client = createGrpcStateClient({
    ...{ worker: name, certificates, workerAt: () => 'w0' },
    toCompute: (message) => void said.push(message),
  });
  facts.length = 0;
  client.fetch({ kind: 'fetchState', generation: 1, donor: peer, step: 7 });
  await until(() => said.length > 0 || facts.includes('serveState'), 'an answer');
  client.drop();
  const [first] = said;
  return first?.kind === 'stateFailed' ? first.reason : undefined;
}

test("a worker with another's certificate gets no gradients, and its own is heard", async () => {
  const refused = await pull(open(worker('w1')), 'w9');
  assert.equal(refused.code, grpc.status.PERMISSION_DENIED);
  assert.match(refused.details, /worker w1 of faces, not of worker w9 of this run/);
  assert.ok(facts.includes('exchange stream refused'), facts.join());
  const operators = await pull(open(operator), 'w1');
  assert.equal(operators.code, grpc.status.PERMISSION_DENIED);
  const own = await pull(open(worker('w1')), 'w1');
  assert.equal(own.code, grpc.status.INVALID_ARGUMENT, own.details);
  assert.match(own.details, /second hello/);
});

test("a worker with another's certificate gets no state, and its own is served", async () => {
  const refused = await fetchState(open(worker('w1')), 'w9');
  assert.match(String(refused), /worker w1 of faces, not of worker w9 of this run/);
  assert.deepEqual(facts, ['state refused'], 'its compute thread was not asked');
  assert.match(String(await fetchState(open(operator), 'w1')), /not of worker w1/);
  assert.equal(await fetchState(open(worker('w1')), 'w1'), undefined);
});

/** What reached the run, of all that was asked. */
const reached: string[] = [];
const requests = {
  status: () => {
    throw new Error('not asked here');
  },
  picture: () => {
    throw new Error('not asked here');
  },
  scale: (workers: number) => {
    reached.push('scale');
    return { before: 1, workers };
  },
  traces: {
    onAnswer: () => undefined,
    trace: () => {
      reached.push('trace');
      return Promise.resolve();
    },
  },
  injectFault: () => void reached.push('fault'),
} satisfies OperatorRequests;

let desk: ClosedDesk | undefined;
after(() => desk?.close());

const fault = { kind: 'fault', fault: 'mute', seconds: 1, peer: '' } as const;
const steering: Readonly<Record<string, (client: AdminClient) => Promise<unknown>>> = {
  scale: (client) => client.scale(2),
  trace: (client) => client.trace(1, () => undefined, new AbortController().signal),
  fault: (client) => client.injectFault('w0', fault),
};

test('observers and workers steer nothing, and operators do', async () => {
  desk = await openClosedDesk('faces', folder, requests);
  for (const [name, ask] of Object.entries(steering)) {
    for (const holder of [observer, worker('w1')]) {
      const client = createAdminClient(desk.address, { certificates: open(holder) });
      await assert.rejects(ask(client), (error) => {
        assert.ok(error instanceof AdminError && error.isRefusal, `${name}: ${String(error)}`);
        assert.match(error.message, /not permitted: .* not of operator of faces/, name);
        return true;
      });
      client.close();
    }
    assert.ok(!reached.includes(name), `${name} reached the run`);
    const client = createAdminClient(desk.address, { certificates: open(operator) });
    await ask(client);
    client.close();
    assert.ok(reached.includes(name), `${name} of an operator did not reach the run`);
  }
});
