// The lease on a real nats-server: one holder at a time, and the next one soon, whether the last
// one let go, was killed, or NATS itself went away.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { leaseKey, type Lease } from '../../coordinator/edge/lease.js';
import { createNatsLease } from '../../coordinator/edge/nats-lease.js';
import { skipWithout, startNatsServer, type TestServer } from '../support/servers.js';
import { until } from '../support/until.js';

const never = new AbortController().signal;

/** A coordinator as far as the lease goes. */
interface Contender {
  readonly lease: Lease;
  readonly notices: string[];
  isHolder: boolean;
  lostTo: string | undefined;
}

describe('the lease of a run on NATS', { skip: skipWithout('nats-server') }, () => {
  let server: TestServer;
  const contend = (key: string, holder: string): Contender => {
    const notices: string[] = [];
    const onNotice = (text: string): void => void notices.push(text);
    const lease = createNatsLease({ url: server.url, key, holder, onNotice });
    const contender: Contender = { lease, notices, isHolder: false, lostTo: undefined };
    lease.onLost((reason) => {
      contender.isHolder = false;
      contender.lostTo = reason;
    });
    lease.acquire(never).then(
      () => (contender.isHolder = true),
      () => undefined,
    );
    return contender;
  };
  before(async () => {
    server = await startNatsServer();
  });
  after(() => server.close());

  it('passes on at once when the holder lets go', async () => {
    const a = contend('released', 'a');
    await until(() => a.isHolder, 'a holds it');
    const b = contend('released', 'b');
    await until(() => b.notices.length > 0, 'b stands by');
    assert.deepEqual(b.notices, ['the run is led by a: standing by']);
    const startMs = performance.now();
    await a.lease.release();
    await until(() => b.isHolder, 'b holds it');
    assert.ok(performance.now() - startMs < 3_000);
    assert.equal(a.lostTo, undefined);
    await b.lease.release();
  });

  it('is kept while it is renewed, and of each run there is one', async () => {
    const a = contend('kept', 'a');
    const other = contend('another-run', 'c');
    await until(() => a.isHolder && other.isHolder, 'both hold theirs');
    const b = contend('kept', 'b');
    // Longer than an entry lives.
    const untilMs = performance.now() + 8_000;
    await until(() => {
      assert.ok(!b.isHolder && a.isHolder && a.lostTo === undefined);
      return performance.now() > untilMs;
    }, 'the time is over');
    await Promise.all([a, b, other].map(({ lease }) => lease.release()));
  });

  it('passes on within 15 s when the holder is killed', async () => {
    const holder = spawnHolder(server.url, 'killed');
    await holder.held;
    const b = contend('killed', 'b');
    await until(() => b.notices.length > 0, 'b stands by');
    holder.kill();
    const startMs = performance.now();
    await until(() => b.isHolder, 'b holds it', 15_000);
    assert.ok(performance.now() - startMs > 500, 'not before the entry expired');
    await b.lease.release();
  });

  it('has one holder after NATS was killed and started again', async () => {
    const a = contend('restart', 'a');
    await until(() => a.isHolder, 'a holds it');
    const b = contend('restart', 'b');
    await until(() => b.notices.length > 0, 'b stands by');
    await server.kill();
    await until(() => a.notices.length > 0 && b.notices.length > 1, 'both say that NATS is away');
    assert.match(a.notices[0] ?? '', /NATS is away/);
    assert.ok(a.isHolder && !b.isHolder);
    // Longer than an entry lives: it is gone when NATS is back, and both may take it.
    const untilMs = performance.now() + 7_000;
    await until(() => performance.now() > untilMs, 'the entry is too old');
    await server.start();
    const back = ({ notices }: Contender): boolean => notices.includes('NATS is back');
    await until(() => back(a) && back(b), 'both are back');
    await until(() => a.isHolder !== b.isHolder, 'one holds it');
    if (b.isHolder) assert.equal(a.lostTo, 'b holds it');
    await a.lease.release();
    await b.lease.release();
  });

  it('is told as lost to a holder that was frozen for too long', async () => {
    const holder = spawnHolder(server.url, 'frozen');
    await holder.held;
    holder.freeze();
    const b = contend('frozen', 'b');
    await until(() => b.isHolder, 'b holds it', 15_000);
    holder.thaw();
    assert.equal(await holder.lost, 'lost: b holds it');
    assert.ok(b.isHolder && b.lostTo === undefined);
    holder.kill();
    await b.lease.release();
  });

  it('passes on the word that the run is finished to each that waits', async () => {
    const a = contend('finished', 'a');
    await until(() => a.isHolder, 'a holds it');
    const [b, c] = [contend('finished', 'b'), contend('finished', 'c')];
    await until(() => b.notices.length > 0 && c.notices.length > 0, 'both stand by');
    await a.lease.release(true);
    await until(() => b.isHolder || c.isHolder, 'one holds it');
    const [first, second] = b.isHolder ? [b, c] : [c, b];
    assert.ok(first.lease.saysFinished && !a.lease.saysFinished);
    await first.lease.release(true);
    await until(() => second.isHolder, 'the other holds it');
    assert.ok(second.lease.saysFinished);
    await second.lease.release();
    const d = contend('finished', 'd');
    await until(() => d.isHolder, 'a later one holds it');
    assert.ok(!d.lease.saysFinished);
    await d.lease.release();
  });

  it('is waited for no longer than asked', async () => {
    const a = contend('waited', 'a');
    await until(() => a.isHolder, 'a holds it');
    const onNotice = (): void => undefined;
    const b = createNatsLease({ url: server.url, key: 'waited', holder: 'b', onNotice });
    const stop = new AbortController();
    const acquired = b.acquire(stop.signal);
    stop.abort(new Error('stop'));
    await assert.rejects(acquired, /stop/);
    await b.release();
    await a.lease.release();
  });
});

it('a lease is named after its run, and no two runs share one', () => {
  const keys = ['s3://aaa/runs/faces', 's3://bbb/runs/faces', 'file:///runs/fa ces*'].map(leaseKey);
  assert.equal(new Set(keys).size, keys.length);
  for (const key of keys) assert.match(key, /^(faces|fa-ces-)\.[0-9a-f]{16}$/);
  assert.equal(leaseKey('file://runs/x'), leaseKey(`file://${process.cwd()}/runs/x/`));
});

/** A holder in a process of its own, to be killed and frozen. */
function spawnHolder(url: string, key: string) {
  const module = new URL('../../coordinator/edge/nats-lease.js', import.meta.url).href;
  const options = JSON.stringify({ url, key, holder: `child ${key}` });
  const script = `
    const { createNatsLease } = await import(${JSON.stringify(module)});
    const lease = createNatsLease({ ...${options}, onNotice: () => {} });
    lease.onLost((reason) => console.log('lost: ' + reason));
    await lease.acquire(new AbortController().signal);
    console.log('held');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => String((await lines.next()).value);
  const held = next().then((line) => assert.equal(line, 'held'));
  return {
    held,
    lost: held.then(next),
    kill: () => void child.kill('SIGKILL'),
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
  };
}
