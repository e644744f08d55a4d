// npm run sim -- [--seconds 60] [--from N] [--seed N] [--verbose] [--failures N]
// Simulated runs from seeds, for as long as it is asked to; ends non-zero when a seed fails.

import { parseArgs } from 'node:util';
import { describeFailure, runSeed, runSeeds, type Campaign } from './simulation.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    failures: { type: 'string', default: '1' },
    verbose: { type: 'boolean', default: false },
  },
});
const say = (text: string): void => void process.stdout.write(`${text}\n`);

if (values.seed === undefined) {
  const limit = Number(values.seconds);
  const isEnough = (_seeds: number, seconds: number): boolean => seconds >= limit;
  const campaign = runSeeds(Number(values.from), isEnough, {}, Number(values.failures));
  for (const failure of campaign.failures) say(describeFailure(failure));
  report(campaign);
  process.exitCode = campaign.failures.length === 0 ? 0 : 1;
} else {
  const seed = Number(values.seed);
  const result = runSeed(seed, values.verbose ? { print: say } : {});
  if (result.failure === undefined) say(`seed ${seed} is fine: ${result.events} events`);
  else say(values.verbose ? `seed ${seed}: ${result.failure.message}` : describeFailure(result));
  say(`trace ${result.sha256}`);
  process.exitCode = result.failure === undefined ? 0 : 1;
}

function report({ seeds, events, seconds, simulatedMs, coverage, failures }: Campaign): void {
  for (const [what, times] of coverage.entries()) say(`${String(times).padStart(9)}  ${what}`);
  const hours = (simulatedMs / 3_600_000).toFixed(1);
  const total = `${seeds} seeds, ${events} events, ${hours} simulated hours`;
  const pace = `${(seeds / seconds).toFixed(1)} seeds/s, ${Math.round(events / seconds)} events/s`;
  say(`${total} in ${seconds.toFixed(1)} s: ${pace}`);
  say(`${failures.length} failed: ${failures.map(({ seed }) => seed).join(' ') || 'none'}`);
}
