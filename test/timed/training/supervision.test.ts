// A local run whose processes are killed, scaled and orphaned: it goes on by itself, ends
// with the bytes of a run that nothing happened to, and leaves no process behind.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Duplex } from 'node:stream';
import { Client, credentials } from '@grpc/grpc-js';
import { loadControlService } from '../../../shared/control/codec.js';
import { protocolVersion } from '../../../shared/control/messages.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import { lastLineOf, runLockstep } from '../../support/lockstep-command.js';
import { until } from '../../support/until.js';
import { pullMethod, serializeHello } from '../../../worker/exchange/wire.js';
import {
  membersOf,
  openStage,
  type SeenLine,
  type Stage,
  type WatchedRun,
} from '../../support/watched-run.js';

/** Enough for a process to start again meanwhile; and for two to start, and to leave. */
const steps = 240;
const manySteps = 400;
let stage: Stage;

before(async () => {
  stage = await openStage(manySteps);
});
after(() => stage.close());

const linesOf = (run: WatchedRun, kind: string): SeenLine['line'][] =>
  run.lines.filter((one) => one.kind === kind).map(({ line }) => line);

async function finish(run: WatchedRun, length = steps): Promise<void> {
  await stage.check(run, length);
  for (const { pid } of [...linesOf(run, 'worker'), ...linesOf(run, 'coordinator')])
    assert.ok(!isAlive(Number(pid)), `process ${String(pid)} is left behind`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const isOf = (size: number) => (line: SeenLine['line']) => membersOf(line).length === size;

/** Opens a stream of another world to a worker's exchange, and waits until it is refused. */
async function knock(address: string): Promise<void> {
  const client = new Client(address, credentials.createInsecure());
  const names = { fromWorker: 'stranger', toWorker: 'worker-0' };
  const numbers = { fromRank: 1, fromIncarnation: 1, worldSize: 2, microShards: 5, chunkBytes: 8 };
  const lane = { precision: 'float32', lane: 0, lanes: 1 } as const;
  const { path, responseDeserialize } = pullMethod;
  const stream = client.makeBidiStreamRequest(path, serializeHello, responseDeserialize);
  stream.write({ generation: 1, ...names, ...numbers, ...lane });
  await new Promise((resolve) => stream.on('error', resolve));
  client.close();
}

test('a killed worker is taken out, started again and joins, and the bytes stay', async () => {
  const run = stage.start({ workers: 2, steps, environment: { LOCKSTEP_LOG_LEVEL: 'info' } });
  await run.step(20);
  const [member] = membersOf((await run.line('world')).line);
  await knock(String((member as { address?: unknown }).address));
  const { atMs } = await run.signal('worker-1', 'SIGKILL');
  assert.equal((await run.line('lost')).line['worker'], 'worker-1');
  await run.line('world', isOf(1), atMs);
  await finish(run);
  const texts = linesOf(run, 'notice').map(({ text }) => text);
  assert.ok(texts.includes('worker-1 was ended by SIGKILL; started again'), texts.join('\n'));
  assert.equal(linesOf(run, 'finished')[0]?.['world'], 2);
  const { said } = await run.end();
  const log = said.split('\n').filter((text) => text.startsWith('{'));
  const facts = log.map((text) => JSON.parse(text) as Readonly<Record<string, unknown>>);
  const factOf = (msg: string) => facts.find((fact) => fact['msg'] === msg);
  const refused = factOf('exchange stream refused');
  assert.deepEqual([refused?.['worker'], refused?.['peer']], ['worker-0', 'stranger'], said);
  const lost = factOf('peer lost');
  assert.deepEqual([lost?.['level'], lost?.['peer']], [40, 'worker-1'], said);
  for (const fact of ['session opened', 'session closed', 'world joined', 'checkpoint part stored'])
    assert.ok(factOf(fact) !== undefined, `${fact}\n${said}`);
});

/** What a coordinator says to a process that sends it these messages, until it ends the session. */
async function converse(address: string, messages: readonly object[]): Promise<string> {
  const Control = loadControlService();
  const client = new Control(address, credentials.createInsecure());
  const stream = (client as unknown as { session(): Duplex }).session();
  const heard: string[] = [];
  const isOver = new Promise((resolve) => stream.on('end', resolve).on('error', resolve));
  stream.on('data', (message: object) => heard.push(JSON.stringify(message)));
  for (const message of messages) stream.write(message);
  // Who is refused hears the end; a stranger that is let in just goes.
  const isHeard = (word: string): boolean => heard.some((text) => text.includes(word));
  await until(() => isHeard('"end"') || isHeard('"welcome"'), 'an answer', 20_000);
  if (!isHeard('"end"')) stream.end();
  await isOver;
  client.close();
  return heard.join('\n');
}

const strange = {
  ...{ protocol: protocolVersion, incarnation: 1, address: '127.0.0.1:9', pid: 1, host: 'h\n' },
  status: { stage: 'joining', pace: {} },
  ...{ world: { source: 'own' }, term: 0 },
};

test('a second process, a worker of another run and a stranger do no harm, and hear why', async () => {
  const run = stage.start({ workers: 2, steps: 100_000 });
  await run.step(5);
  const address = String((await run.line('listening')).line['address']);
  const other = { run: 'other', recordSha256: 'b'.repeat(64), term: 99 };
  const forged = { step: 9e15, parts: ['x'], parametersSha256: 'a'.repeat(64) };
  const [second, ofOther, stranger] = await Promise.all([
    runLockstep(['worker', '--coordinator', address, '--id', 'worker-0'], stage.folder),
    converse(address, [{ hello: { ...strange, ...other, worker: 'w-9' } }]),
    converse(address, [
      { hello: { ...strange, worker: 'stranger' } },
      { stepReport: { step: 9e15, phase: 'x' } },
      { snapshot: forged },
      { snapshot: { ...forged, step: 230 } },
      { failure: { reason: 'There is \x1b[31mno dataset', exitCode: 78 } },
    ]),
  ]);
  assert.equal(second.code, exitCodes.refused, second.stderr);
  assert.match(second.stderr, /worker-0 is another process, which lives \(process \d+ on .*--id/);
  assert.match(ofOther, /"exitCode":7.*it belongs to the run other .*leads the run run-\d+/);
  assert.match(stranger, /welcome/);
  const words = /^stranger failed: There is +\[31mno dataset$/;
  await run.line('notice', ({ text }) => words.test(String(text)));
  run.stop();
  assert.equal((await run.end()).code, exitCodes.stopped);
  assert.equal(linesOf(run, 'lost').length, 0);
  assert.equal(linesOf(run, 'world').length, 1);
});

test('a killed coordinator is started again at its address, and no step waits for it', async () => {
  const run = stage.start({ workers: 2, steps });
  await run.step(20);
  const { line: first } = await run.line('coordinator');
  await run.signal('coordinator', 'SIGKILL');
  const { line: again } = await run.line('coordinator', ({ pid }) => pid !== first['pid']);
  assert.equal(again['address'], first['address']);
  await finish(run);
  assert.deepEqual(
    linesOf(run, 'listening').map(({ term }) => term),
    [1, 2],
  );
  assert.equal(linesOf(run, 'world').length, 1, 'the workers kept their world');
});

test('lockstep scale starts workers and lets others go, status sees it, the bytes stay', async () => {
  const run = stage.start({ workers: 2, steps: manySteps, run: 'scaled' });
  await run.step(10);
  const scale = (workers: string) =>
    runLockstep(['scale', 'scaled', '--workers', workers, '--json'], stage.folder);
  assert.deepEqual((await scale('3')).lines, [{ run: 'scaled', before: 2, workers: 3 }]);
  await run.line('world', isOf(3));
  const { world, target } = await lastLineOf(['status', 'scaled'], stage.folder);
  assert.deepEqual([world, target], [3, 3]);
  assert.deepEqual((await scale('1')).lines, [{ run: 'scaled', before: 3, workers: 1 }]);
  await run.line('world', isOf(1));
  await finish(run, manySteps);
  assert.equal(linesOf(run, 'worker').length, 3, 'none is started again');
});

test('without restarts a lost worker is not replaced; the others end the run', async () => {
  const run = stage.start({ workers: 2, steps: 60, args: ['--restarts', '0'] });
  await run.step(20);
  await run.signal('worker-0', 'SIGKILL');
  await finish(run, 60);
  assert.equal(linesOf(run, 'worker').length, 2);
});

test('without restarts a run that lost its only worker ends, and can be resumed', async () => {
  const args = ['--restarts', '0'];
  const run = stage.start({ workers: 1, steps: 100_000, everySteps: 5, run: 'alone', args });
  await run.line('checkpoint');
  await run.signal('worker-0', 'SIGKILL');
  const { code, last } = await run.end();
  assert.equal(code, exitCodes.workerLost);
  const step = Number(last['step']);
  assert.ok(step >= 5);
  const resume = ['resume', 'alone', '--workers', '2', '--stop-after', `${step + 1}`];
  assert.equal((await lastLineOf(resume, stage.folder, exitCodes.stopped))['step'], step + 1);
});

test('when lockstep train itself is killed, all its processes end', async () => {
  const run = stage.start({ workers: 2, steps: 100_000 });
  await run.step(5);
  const pids = await Promise.all(
    ['coordinator', 'worker-0', 'worker-1'].map((one) => run.pidOf(one)),
  );
  await run.close();
  await until(() => !pids.some(isAlive), 'all have ended', 20_000);
});
