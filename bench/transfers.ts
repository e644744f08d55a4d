// How long a vector takes to a device of the engine xla and back: what a step's reduced vector and
// its gradients cost beside the computing.

import { median } from '../shared/median.js';
import { openXlaClient, type XlaProvider } from '../worker/engine/xla/plugin.js';

export interface TransfersBenchOptions {
  /** Undefined: the first that has a plugin. */
  readonly provider: XlaProvider | undefined;
  readonly mib: number;
  /** Transfers each way that are measured, after two that are not. */
  readonly repetitions: number;
}

/** Medians, in seconds and in MiB a second. */
export interface TransfersBenchResult {
  readonly upload_s: number;
  readonly download_s: number;
  readonly upload_mib_s: number;
  readonly download_mib_s: number;
  readonly device: string;
  readonly mib: number;
}

const warmUps = 2;

/** Measures on the first device; throws when a value comes back changed. */
export async function benchTransfers(
  options: TransfersBenchOptions,
): Promise<TransfersBenchResult> {
  const { provider, mib, repetitions } = options;
  const { client } = await openXlaClient({ provider, threads: 1, devices: 1 });
  const [device] = client.devices;
  const values = new Float32Array(mib * 2 ** 18).map((_, i) => i % 1000);
  const back = new Float32Array(values.length);
  const [uploads, downloads]: number[][] = [[], []];
  for (let i = 0; i < warmUps + repetitions; i++) {
    const start = performance.now();
    const buffer = await client.upload(values, [values.length], device);
    await buffer.ready();
    const there = performance.now();
    await buffer.download(back);
    const again = performance.now();
    buffer.close();
    if (i < warmUps) continue;
    uploads.push((there - start) / 1e3);
    downloads.push((again - there) / 1e3);
  }
  client.close();
  const changed = back.findIndex((value, i) => value !== values[i]);
  if (changed >= 0) throw new Error(`float ${changed} came back as ${back[changed]}`);
  const round = (value: number) => Math.round(value * 1e5) / 1e5;
  const [upload, download] = [median(uploads), median(downloads)];
  return {
    upload_s: round(upload),
    download_s: round(download),
    upload_mib_s: Math.round(mib / upload),
    download_mib_s: Math.round(mib / download),
    device: device.kind,
    mib,
  };
}
