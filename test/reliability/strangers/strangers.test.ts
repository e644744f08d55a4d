// Strangers at every door of a run, one kind after the other and then several at once: the run goes
// on to the bytes of an undisturbed one, its processes stay within their memory, and its logs say in
// few lines who was turned away, and why.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createAdminClient, type RunStatus } from '../../../shared/control/admin.js';
import type { Hello } from '../../../shared/control/messages.js';
import { chunkBytes } from '../../../shared/plan/step-vector.js';
import type { ExchangeHello } from '../../../worker/exchange/core/messages.js';
import { attacks } from '../../support/strangers/attacks.js';
import { startBesieged, type BesiegedRun } from '../../support/strangers/besieged-run.js';
import { intrude, knock, oddHello } from '../../support/strangers/impostors.js';
import { attackAll, saysLittle, staysWell } from '../../support/strangers/siege.js';

let run: BesiegedRun;

before(async () => {
  run = await startBesieged();
});
after(() => run.close());

async function statusOf({ address }: BesiegedRun): Promise<RunStatus> {
  const client = createAdminClient(address, { timeoutMs: 30_000 });
  try {
    return await client.getStatus();
  } finally {
    client.close();
  }
}

describe('strangers at the doors of a run', () => {
  for (const attack of attacks)
    it(attack.name, async (t) => {
      await attackAll(run, attack, t);
      await staysWell(run, t);
    });

  it('several of these at once', async (t) => {
    const names = ['random bytes', 'a flood of PING', 'rapid reset', 'answers that are not read'];
    const some = attacks.filter(({ name }) => names.includes(name));
    assert.equal(some.length, names.length);
    await Promise.all(some.map((attack) => attackAll(run, attack, t)));
    await staysWell(run, t);
  });
});

describe('impostors', () => {
  const refused: readonly (readonly [name: string, hello: Hello, reason: RegExp])[] = [
    ['a taken id', oddHello('w-0'), /w-0 is another process, which lives/],
    [
      'a worker of another run',
      oddHello('w-9', { run: 'other', recordSha256: '6'.repeat(64) }),
      /it belongs to the run other .* leads the run run/,
    ],
    ['another protocol', oddHello('w-9', { protocol: 1 }), /it speaks protocol 1, this run \d/],
    [
      'other software',
      oddHello('w-9', { status: { ...oddHello('w-9').status, fingerprint: 'abacus 1' } }),
      /it computes with abacus 1, w-\d with .*, which gives other bytes/,
    ],
  ];
  for (const [name, hello, reason] of refused)
    it(`${name} is refused with the reason`, async () => {
      assert.match(await intrude(run.address, [hello], 30_000), reason);
    });

  it('a stream of an earlier world, or in the name of a member, is refused', async () => {
    const { generation, workers } = await statusOf(run);
    const lane = run.doors.find(({ name }) => name === 'w-0 lane 0');
    const ranks = new Map(workers.map(({ worker, rank }) => [worker, rank]));
    assert.ok(lane !== undefined && generation > 0);
    const hello: ExchangeHello = {
      ...{ generation, fromRank: ranks.get('w-1') ?? -1, fromWorker: 'w-1', fromIncarnation: 1 },
      ...{ toWorker: 'w-0', worldSize: 2, microShards: 5, chunkBytes, lane: 0, lanes: 2 },
      precision: 'float32',
    };
    const address = `${lane.target.host}:${lane.target.port}`;
    const isOver = await knock(address, { ...hello, generation: generation - 1 }, 30_000);
    assert.match(isOver, /generation \d+ is over; this worker is in \d+/);
    assert.match(await knock(address, hello, 30_000), /fromIncarnation is 1, not \d+/);
  });

  it('a crowd with a false name leaves few lines', async (t) => {
    const [, hello] = refused[1];
    for (let i = 0; i < 20; i++)
      await Promise.all(Array.from({ length: 20 }, () => intrude(run.address, [hello], 30_000)));
    await staysWell(run, t);
  });
});

describe('afterwards', () => {
  it('the logs say in few lines who was turned away, and why', (t) => {
    const lines = saysLittle(run, t);
    const ended = lines.filter((line) => line.includes('"connection ended: '));
    for (const reason of ['it said nothing for', 'nobody knows it', 'that nobody knows'])
      assert.ok(
        ended.some((line) => line.includes(reason) && line.includes('"address":"127.0.0.1"')),
        `${reason}:\n${ended.join('\n')}`,
      );
    assert.match(lines.join('\n'), /"exchange stream refused"/);
  });

  it('the run ends with the bytes of one that nobody disturbed', () => run.endsWithItsBytes());
});
