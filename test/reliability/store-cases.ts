// Faults of what is around the processes: the object store answers 503, or nothing; NATS is away;
// the newest checkpoint is torn or altered when a run is resumed.

import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openS3Place, startNatsServer } from '../support/servers.js';
import { startFaultProxy, type FaultKind } from '../support/proxies.js';
import { long, passes, short, type Dice, type FaultCase, type Played } from './fault-case.js';
import type { Stage } from '../support/watched-run.js';

const steps = 120;

/** How long a store or NATS is away. */
const awayMs = 4_000;

/** All requests are spoiled for some seconds, while checkpoints are due. */
async function playS3(kind: FaultKind, stage: Stage, dice: Dice): Promise<Played> {
  const place = await openS3Place();
  const proxy = await startFaultProxy(place.options.endpoint);
  const run = stage.start({
    ...{ workers: 2, steps, everySteps: 10, run: `s3://${place.bucket}/runs/faulty` },
    environment: {
      LOCKSTEP_S3_ENDPOINT: proxy.url,
      AWS_ACCESS_KEY_ID: place.options.accessKeyId,
      AWS_SECRET_ACCESS_KEY: place.options.secretAccessKey,
    },
  });
  void run.end().then(async () => {
    await proxy.close();
    await place.close();
  });
  await run.step(dice.between(12, 30));
  const fault = { kind, matches: () => true, times: Infinity };
  proxy.add(fault);
  const { atMs } = run.note(kind, 'the object store');
  await passes(awayMs);
  fault.times = 0;
  const saved = await run.line('checkpoint', undefined, atMs + awayMs);
  return { run, steps, outcomes: [{ goneOnMs: saved.atMs - atMs - awayMs }] };
}

/** Nobody but the events' readers notices. */
async function playNatsAway(stage: Stage, dice: Dice): Promise<Played> {
  const nats = await startNatsServer();
  const run = stage.start({ workers: 2, steps, args: ['--nats', nats.url] });
  void run.end().then(nats.close);
  await run.step(dice.between(2, 10));
  const { atMs } = run.note('kill', 'NATS');
  await nats.kill();
  const step = await run.line('step', undefined, atMs);
  await passes(awayMs / 2);
  await nats.start();
  return { run, steps, outcomes: [{ goneOnMs: step.atMs - atMs }] };
}

/** The newest checkpoint is spoiled before the run is resumed: an earlier one is taken. */
async function playSpoiled(
  spoil: (file: string) => Promise<void>,
  stage: Stage,
  dice: Dice,
): Promise<Played> {
  const name = `spoiled-${dice.between(0, 1e9)}`;
  const args = ['--stop-after', '20'];
  const first = stage.start({ workers: 2, steps, everySteps: 10, run: name, args });
  const { code, said } = await first.end();
  if (code !== 3) throw new Error(`the first part ended with ${code}:\n${said}`);
  const folder = join(stage.folder, 'runs', name, 'checkpoints', 'step-00000020');
  const parts = (await readdir(folder)).filter((file) => file !== 'manifest.json').sort();
  await spoil(join(folder, parts[dice.between(0, parts.length - 1)]));
  const run = stage.resume(name, 2);
  run.note('spoiled', 'the newest checkpoint');
  const world = await run.line('world');
  if (world.line['step'] !== 10) throw new Error(`it went on from ${String(world.line['step'])}`);
  return { run, steps, outcomes: [] };
}

/** The last bytes are missing, as after a crash of a disk's machine. */
async function tear(file: string): Promise<void> {
  const { length } = await readFile(file);
  await truncate(file, length - 5);
}

async function flip(file: string): Promise<void> {
  const bytes = await readFile(file);
  bytes[bytes.length - 9] ^= 1 << 3;
  await writeFile(file, bytes);
}

const s3Away = 'the object store (S3) away for 4 s';
const spoiled = 'the newest checkpoint spoiled before a resume';

/** Faults of the stores and of NATS. */
export const storeCases: readonly FaultCase[] = [
  short(s3Away, '(503)', (stage, dice) => playS3('busy', stage, dice), 'versitygw'),
  long(s3Away, '(connections cut)', (stage, dice) => playS3('reset', stage, dice), 'versitygw'),
  long(s3Away, '(no answer)', (stage, dice) => playS3('silent', stage, dice), 'versitygw'),
  short('NATS killed, back after 2 s', 'in a step', playNatsAway, 'nats-server'),
  short(spoiled, '(torn)', (stage, dice) => playSpoiled(tear, stage, dice)),
  long(spoiled, '(a bit flipped)', (stage, dice) => playSpoiled(flip, stage, dice)),
];
