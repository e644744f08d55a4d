// The admin service over real gRPC, and the commands that use it as processes: what an operator
// sees, and what is said when nobody answers.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import {
  operatorService,
  type OperatorRequests,
} from '../../../coordinator/edge/operator-service.js';
import { claimTerm } from '../../../coordinator/edge/terms.js';
import {
  AdminError,
  createAdminClient,
  loadAdminService,
  type RunStatus,
} from '../../../shared/control/admin.js';
import type { FaultMessage } from '../../../shared/control/messages.js';
import type { StepSpan, TraceReply } from '../../../shared/control/tracing.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import { OperatorError } from '../../../shared/problems.js';
import { openStore } from '../../../shared/store/open-store.js';
import { createRunHistory } from '../../../watch/history/history.js';
import { parsePicture } from '../../../watch/history/picture-json.js';
import { longStory } from '../../support/watch/run-story.js';
import { testFolder } from '../../support/tiny-run.js';
import { runLockstep } from '../../support/lockstep-command.js';
import { freePort } from '../../support/servers.js';
import { until } from '../../support/until.js';

const pace = {
  ...{ dataS: 0.01, computeS: 0.5, exchangeS: 0.25, updateS: 0.125 },
  ...{ waitedFor: 'worker-1', waitedS: 0.2, sentBytes: 4096, receivedBytes: 2 ** 40 },
};

const status: RunStatus = {
  run: 'faces',
  url: 'file://runs/faces',
  term: 3,
  stage: 'running',
  reason: '',
  generation: 3 * 2 ** 20 + 2,
  step: 120,
  until: 500,
  lastStep: 500,
  checkpoint: 100,
  imagesPerS: 40.5,
  etaS: 200,
  workers: [
    {
      ...{ worker: 'worker-1', rank: 0, stage: 'training', step: 120, activity: 'compute' },
      ...{ isConnected: true, silentS: 0.25, pid: 7, host: 'here', address: '127.0.0.1:9' },
      ...{ incarnation: 1_800_000_000_000, allowsFaults: true, pace },
    },
    {
      ...{ worker: 'worker-2', rank: -1, stage: 'joining', step: 0, activity: 'join' },
      ...{ isConnected: false, silentS: 3, pid: 8, host: 'there', address: '127.0.0.1:10' },
      ...{ incarnation: 5, allowsFaults: false, pace: { ...pace, waitedFor: '' } },
    },
  ],
  straggler: { worker: 'worker-1', phase: 'compute', excessS: 0.4 },
  target: 2,
  coordinatorPid: 99,
  worldReason: 'worker-2 leaves',
  health: 'the discriminator wins',
  certificate: 'coordinator.crt ends in 12 days',
  exitCode: 0,
};

const spans: StepSpan[] = [
  { thread: 'compute', name: 'step', startUs: 1.7e15, durationUs: 12.5, generation: 1, step: 7 },
  {
    ...{ thread: 'network', name: 'receive', startUs: 1.7e15 + 0.25, durationUs: 0 },
    ...{ generation: 1, step: 7, microShard: 0, chunk: 0, phase: 'reduce', peer: 'worker-2' },
    ...{ bytes: 4, firstLeaf: 0, endLeaf: 2, askedUs: 1.7e15 },
  },
];
const clock = [{ atUs: 1.7e15, offsetUs: -12.5, errorUs: 80, exchanges: 16 }];
const workers = [{ worker: 'worker-1', rank: 0, host: 'here', pid: 7, clock }];
const outcome = {
  ...{ worker: 'worker-1', clock },
  ...{ dropped: 3, trouble: 'it was lost' },
};
const history = createRunHistory();
for (const event of longStory(20)) history.add(event);

const asked: { scaled: number[]; faults: [string, FaultMessage][] } = { scaled: [], faults: [] };
const requests: OperatorRequests = {
  status: () => status,
  picture: () => history.picture(),
  scale: (workers) => {
    const problem = { key: '--workers', given: workers, allowed: '1 to 5' };
    if (workers > 5) throw new OperatorError('the run can not be scaled', [problem]);
    asked.scaled.push(workers);
    return { before: 2, workers };
  },
  traces: {
    onAnswer: () => undefined,
    trace: (steps, onReply) => {
      if (steps > 5) return Promise.reject(new OperatorError('no such trace', []));
      onReply({ kind: 'traceStarted', run: 'faces', firstStep: 7, steps, workers });
      onReply({ kind: 'tracePart', worker: 'worker-1', spans });
      onReply({ kind: 'traceEnded', workers: [outcome] });
      return Promise.resolve();
    },
  },
  injectFault: (worker, fault) => {
    asked.faults.push([worker, fault]);
    if (worker === 'nobody') throw new OperatorError('there is no worker nobody', []);
  },
};

const folder = testFolder();
let server: Server;
let address: string;

before(async () => {
  server = new Server();
  operatorService(() => requests)(server);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  address = `127.0.0.1:${port}`;
});

after(async () => {
  server.forceShutdown();
});

/** A run's folder with a term whose coordinator is said to be at `at`. */
async function lead(run: string, at: string): Promise<void> {
  const store = openStore(`file://${folder}/runs/${run}`);
  const startedAt = new Date().toISOString();
  await claimTerm(store, { address: at, pid: 99, host: 'here', startedAt });
  await store.close();
}

test('status, scale and faults pass as they were told', async () => {
  const client = createAdminClient(address);
  assert.deepEqual(await client.getStatus(), status);
  assert.deepEqual(await client.scale(4), { before: 2, workers: 4 });
  const trap = { signal: 'SIGKILL', activity: 'exchange', step: 7 } as const;
  const fault: FaultMessage = { kind: 'fault', fault: 'trap', seconds: 2.5, peer: 'w', trap };
  await client.injectFault('worker-1', fault);
  assert.deepEqual(asked.faults.at(-1), ['worker-1', fault]);
  client.close();
});

test('a trace passes as it is taken, and its refusal with its words', async () => {
  const client = createAdminClient(address);
  const replies: TraceReply[] = [];
  const { signal } = new AbortController();
  await client.trace(2, (reply) => replies.push(reply), signal);
  assert.deepEqual(replies, [
    { kind: 'traceStarted', run: 'faces', firstStep: 7, steps: 2, workers },
    { kind: 'tracePart', worker: 'worker-1', spans },
    { kind: 'traceEnded', workers: [outcome] },
  ]);
  await assert.rejects(
    client.trace(6, () => undefined, signal),
    (error) =>
      error instanceof AdminError && error.isRefusal && /no such trace/.test(error.message),
  );
  client.close();
});

test('a reader of a trace that does not read leaves no pile', async () => {
  const taken = { parts: 0, refused: 0 };
  const part: TraceReply = {
    kind: 'tracePart',
    worker: 'worker-1',
    spans: Array.from({ length: 1_000 }, () => spans[0]),
  };
  const busy = new Server();
  const tracing: OperatorRequests['traces'] = {
    onAnswer: () => undefined,
    trace: async (_, onReply) => {
      for (let sent = 0; sent < 3_000; sent++) {
        if (onReply(part)) taken.parts += 1;
        else taken.refused += 1;
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
  operatorService(() => ({ ...requests, traces: tracing }))(busy);
  const port = await new Promise<number>((resolve, reject) =>
    busy.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = loadAdminService()['Trace'];
  const stream = client.makeServerStreamRequest(
    path,
    requestSerialize,
    responseDeserialize as (bytes: Buffer) => object,
    { steps: 1 },
  );
  stream.on('error', () => undefined);
  await until(() => taken.parts + taken.refused === 3_000, 'all is said');
  assert.ok(taken.refused > 1_000, `${taken.parts} parts were taken`);
  let read = 0;
  stream.on('data', () => (read += 1));
  await until(() => read === taken.parts, 'what was taken arrives');
  client.close();
  busy.forceShutdown();
});

test('the picture is the one that the coordinator has', async () => {
  const client = createAdminClient(address);
  const bytes = await client.getPicture();
  assert.deepEqual(parsePicture(bytes), JSON.parse(JSON.stringify(history.picture())));
  assert.equal(parsePicture(Buffer.from('{"run": 7}')), undefined);
  client.close();
});

test('refusals come back with their words', async () => {
  const client = createAdminClient(address);
  const refusal = (pattern: RegExp) => (error: unknown) => {
    assert.ok(error instanceof AdminError && error.isRefusal);
    assert.match(error.message, pattern);
    return true;
  };
  await assert.rejects(client.scale(6), refusal(/--workers: given 6; allowed: 1 to 5/));
  const fault: FaultMessage = { kind: 'fault', fault: 'flip', seconds: 0, peer: '' };
  await assert.rejects(client.injectFault('nobody', fault), refusal(/no worker nobody/));
  const endless = { ...fault, seconds: 1e6 };
  await assert.rejects(client.injectFault('worker-1', endless), refusal(/seconds/));
  client.close();
});

test('a coordinator that is away, or takes too long, is told apart from one that refuses', async () => {
  const client = createAdminClient(`127.0.0.1:${await freePort()}`, { timeoutMs: 1000 });
  await assert.rejects(
    client.getStatus(),
    (error) => error instanceof AdminError && !error.isRefusal,
  );
  client.close();
});

test('lockstep status prints world, step, time left and each worker', async () => {
  await lead('faces', address);
  const person = await runLockstep(['status', 'faces'], folder);
  assert.equal(person.code, exitCodes.ok, person.stderr);
  const script = await runLockstep(['status', 'faces', '--json'], folder);
  const [line] = script.lines as [Record<string, unknown>];
  assert.deepEqual(
    [line['step'], line['last_step'], line['world'], line['target'], line['eta_s']],
    [120, 500, 1, 2, 200],
  );
  const [first] = line['workers'] as [Record<string, unknown>];
  assert.equal(first['rank'], 0);
  assert.deepEqual(first['seconds'], { data: 0.01, compute: 0.5, exchange: 0.25, update: 0.125 });
  assert.equal((line['straggler'] as Record<string, unknown>)['phase'], 'compute');
});

test('lockstep scale asks the coordinator, and passes its refusal on', async () => {
  await lead('faces', address);
  const args = ['scale', 'faces', '--json', '--workers'];
  const { lines } = await runLockstep([...args, '3'], folder);
  assert.deepEqual(lines, [{ run: 'faces', before: 2, workers: 3 }]);
  assert.equal(asked.scaled.at(-1), 3);
  const refused = await runLockstep([...args, '6'], folder);
  assert.equal(refused.code, exitCodes.configuration);
  assert.match(refused.stderr, /--workers: given 6; allowed: 1 to 5/);
  const odd = await runLockstep([...args, '0'], folder);
  assert.equal(odd.code, exitCodes.configuration);
});

test('nobody answers, another run answers, no such run: each is said', async () => {
  const port = await freePort();
  await lead('silent', `127.0.0.1:${port}`);
  const silent = await runLockstep(['status', 'silent'], folder);
  assert.equal(silent.code, exitCodes.failed);
  assert.match(silent.stderr, new RegExp(`no coordinator answers at 127.0.0.1:${port} .*pid 99`));
  assert.match(silent.stderr, /lockstep resume file:\/\/\/.*\/runs\/silent/);
  await lead('other', address);
  const other = await runLockstep(['status', 'other'], folder);
  assert.match(other.stderr, /leads another run, faces/);
  const none = await runLockstep(['status', 'nowhere'], folder);
  assert.equal(none.code, exitCodes.configuration);
  assert.match(none.stderr, /there is no such run/);
});
