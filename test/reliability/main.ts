// The whole fault matrix, and many kills in one run, on real processes: `npm run reliability`.
// Prints each case with its times, then medians and worst cases, and writes these into
// docs/reliability.md when every case ended as it should and no part was left out.
//
//   npm run reliability -- [--seed 1] [--kills 50] [--every 2] [--only PART-OF-A-NAME]

import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { prepareSdk } from '../../shared/environment.js';
import { packageFile } from '../../shared/paths.js';
import { findServer } from '../support/servers.js';
import { coordinatorCases } from './coordinator-cases.js';
import { nameOf, playCase, type FaultCase } from './fault-case.js';
import { describeFigures, replaceFigures, type Kills, type PlayedCase } from './figures.js';
import { playKills } from './kills.js';
import { membershipCases } from './membership-cases.js';
import { describeOutcomes } from './fault-case.js';
import { openStage, type Stage } from '../support/watched-run.js';
import { storeCases } from './store-cases.js';
import { workerCases } from './worker-cases.js';

const page = packageFile('docs/reliability.md');
const workersUnderKills = 3;

/** Steps of the longest run of the matrix. */
const longestRun = 400;

const say = (text: string): void => void process.stdout.write(`${text}\n`);
let failures = 0;

/** Plays the cases one after the other. */
async function playMatrix(
  stage: Stage,
  cases: readonly FaultCase[],
  seed: number,
): Promise<PlayedCase[]> {
  const played: PlayedCase[] = [];
  for (const one of cases) {
    if (one.needs !== undefined && findServer(one.needs) === undefined) {
      say(`SKIP  ${nameOf(one)}: no ${one.needs}`);
      continue;
    }
    const { outcomes, done, failure } = await playCase(one, stage, seed).catch((error: unknown) => {
      return { outcomes: [], done: '', failure: String(error) };
    });
    say(`${failure === undefined ? 'ok   ' : 'FAIL '} ${nameOf(one)}`);
    say(`        ${[done, describeOutcomes(outcomes)].filter((text) => text !== '').join('; ')}`);
    if (failure !== undefined) {
      failures += 1;
      say(failure);
    } else played.push({ fault: one.fault, outcomes });
  }
  return played;
}

/** Plays a run with many kills. */
async function playMany(
  stage: Stage,
  options: { readonly kills: number; readonly everyS: number; readonly seed: number },
): Promise<Kills> {
  let count = 0;
  const { everyS, kills } = options;
  const result = await playKills(stage, {
    ...{ ...options, workers: workersUnderKills },
    onKill: (victim, outcome) =>
      say(`kill ${++count} of ${kills}: ${victim}, ${describeOutcomes([outcome])}`),
  });
  const { sha256, seconds, steps, outcomes } = result;
  if (sha256.disturbed !== sha256.undisturbed) {
    failures += 1;
    say(`FAIL  ${kills} kills: ${sha256.disturbed}, undisturbed ${sha256.undisturbed}`);
    say(result.transcript);
  }
  const goodput = 1 - result.standstillS / seconds.disturbed;
  say(`${steps} steps with ${outcomes.length} kills in ${seconds.disturbed.toFixed(1)} s`);
  say(`        goodput ${goodput.toFixed(2)}; without kills ${seconds.undisturbed.toFixed(1)} s`);
  say(`        SHA-256 ${sha256.disturbed}, as without`);
  return { outcomes, everyS, steps, goodput, seconds, workers: workersUnderKills };
}

function numberOf(given: string, key: string): number {
  const value = Number(given);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new Error(`--${key}: given ${given}; allowed: a number from 0 up`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      kills: { type: 'string', default: '50' },
      every: { type: 'string', default: '2' },
      only: { type: 'string', default: '' },
    },
  });
  const [seed, count] = [numberOf(values.seed, 'seed'), numberOf(values.kills, 'kills')];
  const everyS = numberOf(values.every, 'every');
  const all = [...workerCases, ...membershipCases, ...coordinatorCases, ...storeCases];
  const wanted = all.filter((one) => nameOf(one).includes(values.only));
  say(`${wanted.length} of ${all.length} cases, seed ${seed}; then ${count} kills in one run`);
  const stage = await openStage(wanted.length === 0 ? 60 : longestRun);
  try {
    const cases = await playMatrix(stage, wanted, seed);
    if (count === 0) return;
    const kills = await playMany(stage, { kills: count, everyS, seed });
    const cores = `${availableParallelism()} cores, ${cpus()[0]?.model.trim() ?? 'unknown CPU'}`;
    const date = new Date().toISOString().slice(0, 10);
    const block = describeFigures({
      ...{ cases, kills, seed, machine: cores, node: process.version, date, stepS: stage.stepS },
    });
    say(`\n${block}`);
    if (failures > 0 || cases.length < all.length) return;
    await writeFile(page, replaceFigures(await readFile(page, 'utf8'), block));
    say(`written into ${page}`);
  } finally {
    await stage.close();
    if (failures > 0) say(`${failures} failed`);
    process.exitCode = failures > 0 ? 1 : 0;
  }
}

prepareSdk();
await main();
