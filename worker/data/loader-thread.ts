// Entry of a loader thread: takes jobs (micro-shards), answers with their floats. Jobs overlap,
// so that the next one's pictures are read while this one's are decoded; the reader bounds how
// many.

import sharp from 'sharp';
import { parentPort, workerData } from 'node:worker_threads';
import { openStore } from '../../shared/store/open-store.js';
import { scale } from './bicubic.js';
import { chooseDegradation, writeDegradedPatch } from './degradation.js';
import type {
  FromLoaderThread,
  JobSample,
  LoaderThreadSettings,
  ToLoaderThread,
} from './loader.js';
import { chooseCut, writePatch } from './patch.js';
import { createSampleReader, SampleError } from './sample-reader.js';

const port = parentPort;
if (port === null) throw new Error('loader-thread.js is not a program of its own');

const settings = workerData as LoaderThreadSettings;
// One thread of libvips a picture: several pictures are decoded at once anyway.
sharp.concurrency(1);
sharp.cache(false);

const store = openStore(settings.storeUrl, settings.storeOptions);
const onNotice = (text: string): void => answer({ kind: 'notice', text });
const reader = createSampleReader({ ...settings, store, onNotice });
const hrFloats = settings.crop * settings.crop * 3;
const underWay = new Set<Promise<void>>();
let wantedFrom = 0;

async function prepare(job: number, samples: readonly JobSample[]): Promise<void> {
  const hr = new Float32Array(samples.length * hrFloats);
  const lr = new Float32Array(hr.length / (scale * scale));
  const written = await Promise.allSettled(
    samples.map(async ({ place, sample, epoch }, slot) => {
      if (job < wantedFrom) return;
      const picture = await reader.read(place);
      const key = { seed: settings.seed, epoch, sample };
      const cut = chooseCut(key, picture, settings.crop, settings.flip);
      if (settings.degradation === undefined) return writePatch(picture, cut, hr, lr, slot);
      const degradation = chooseDegradation(key, settings.degradation);
      await writeDegradedPatch(picture, cut, degradation, hr, lr, slot);
    }),
  );
  const failed = written.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  if (job >= wantedFrom) answer({ kind: 'ready', job, hr, lr }, [hr.buffer, lr.buffer]);
}

function answer(message: FromLoaderThread, transfer: ArrayBuffer[] = []): void {
  port!.postMessage(message, transfer);
}

function fail(job: number, error: unknown): void {
  if (job < wantedFrom) return;
  if (error instanceof SampleError) {
    const { place, isSpoiled, reason } = error;
    answer({ kind: 'failed', job, sample: { place, isSpoiled }, reason });
  } else {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    answer({ kind: 'failed', job, sample: undefined, reason });
  }
}

async function close(): Promise<void> {
  wantedFrom = Number.POSITIVE_INFINITY;
  reader.stop();
  // A thread that ends while a picture is being decoded would take the process with it.
  await Promise.allSettled(underWay);
  await store.close();
  port!.close();
}

port.on('message', (message: ToLoaderThread) => {
  if (message.kind === 'forget') wantedFrom = Math.max(wantedFrom, message.below);
  else if (message.kind === 'close') void close();
  else {
    const { job, samples } = message;
    const work = prepare(job, samples).catch((error: unknown) => fail(job, error));
    underWay.add(work);
    void work.finally(() => underWay.delete(work));
  }
});
