// npm run fuzz -- [--seconds 60] [--seed N] [--reader PART-OF-A-NAME] [--input BASE64]
// Readers of files and messages from elsewhere on spoiled inputs, for as long as it is asked to,
// from one seed after the other; ends non-zero when a reader falls. With --input one reader is
// given these bytes.

import { parseArgs } from 'node:util';
import { allReaders } from './all-readers.js';
import { describeReaderFailure, requireSoundReading, tryReader } from './reader.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '2' },
    reader: { type: 'string', default: '' },
    input: { type: 'string' },
  },
});
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const chosen = allReaders.filter(({ name }) => name.includes(values.reader));
const endMs = performance.now() + 1_000 * Number(values.seconds);

/** Of one reader before the next has its turn. */
const turnRuns = 100;

if (chosen.length === 0) {
  say(`no reader's name has "${values.reader}": ${allReaders.map(({ name }) => name).join(', ')}`);
  process.exitCode = 1;
} else if (values.input !== undefined) {
  const outcome = await requireSoundReading(chosen[0], Buffer.from(values.input, 'base64'));
  say(`${chosen[0].name}: ${outcome}`);
} else process.exitCode = (await campaign()) === 0 ? 0 : 1;

/** The number of readers that fell; one that did is not tried again. */
async function campaign(): Promise<number> {
  const inputs = new Map<string, number>();
  const fallen = new Set<string>();
  for (let seed = Number(values.seed); performance.now() < endMs; seed++)
    for (const reader of chosen) {
      const limitMs = endMs - performance.now();
      if (limitMs <= 0 || fallen.has(reader.name)) continue;
      const run = await tryReader(reader, { seed, runs: turnRuns, limitMs });
      inputs.set(reader.name, (inputs.get(reader.name) ?? 0) + run.numRuns);
      if (!run.failed) continue;
      fallen.add(reader.name);
      say(describeReaderFailure(reader.name, run));
    }
  for (const [name, count] of inputs) say(`${String(count).padStart(9)}  ${name}`);
  say(`${fallen.size} fell: ${[...fallen].join(', ') || 'none'}`);
  return fallen.size;
}
