// The note beside a run's checkpoints that says which of them is the best one, and by what. The
// coordinator writes it over each time; a checkpoint that it names may be gone.

import { z } from 'zod';
import { parseJson } from '../bounded-json.js';
import { bestMetrics } from '../spec/schema.js';
import { ObjectNotFound, type ObjectStore } from '../store/store.js';
import { checkpointsPrefix, manifestKey } from './manifest.js';

const bestSchema = z.strictObject({
  step: z.int().min(0),
  metric: z.enum(bestMetrics),
  /** Of the metric, as the evaluation of this step gave it. */
  value: z.number(),
});

export type BestCheckpoint = z.infer<typeof bestSchema>;
export type BestMetric = BestCheckpoint['metric'];

const bestKey = `${checkpointsPrefix}best.json`;
const maxBestBytes = 4096;

/** Notes which checkpoint is the best one; rejects when the store can't be written. */
export async function writeBest(store: ObjectStore, best: BestCheckpoint): Promise<void> {
  const body = Buffer.from(`${JSON.stringify(best)}\n`);
  await store.put(bestKey, body, { contentType: 'application/json' });
}

/** The best checkpoint, if one is noted whose manifest is there; a broken note is none. */
export async function readBest(store: ObjectStore): Promise<BestCheckpoint | undefined> {
  let text: string;
  try {
    text = (await store.get(bestKey, { start: 0, end: maxBestBytes })).toString('utf8');
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined;
    throw error;
  }
  const best = parseBest(text);
  if (best === undefined || (await store.head(manifestKey(best.step))) === undefined)
    return undefined;
  return best;
}

function parseBest(text: string): BestCheckpoint | undefined {
  try {
    return bestSchema.safeParse(parseJson(text)).data;
  } catch {
    return undefined;
  }
}
