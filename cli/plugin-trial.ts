// Tries a plugin of XLA's: the devices that it drives, and a sum computed on each. `probePlugin`
// does so in a process of its own: a plugin or a driver that crashes must take down neither
// `lockstep doctor` nor a set-up.

import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { parseJson } from '../shared/bounded-json.js';
import { openXlaClient, xlaProviders, type XlaProvider } from '../worker/engine/xla/plugin.js';
import { describeDeparture, runLockstep } from './processes.js';
import { lastWords } from './engine-trial.js';

const reportSchema = z.object({
  provider: z.enum(xlaProviders),
  /** Path of the shared object, and where it comes from. */
  plugin: z.string(),
  origin: z.string(),
  /** Version of PJRT, and the beginning of the file's SHA-256. */
  version: z.string(),
  platform: z.string(),
  devices: z.array(
    z.object({
      index: z.number(),
      kind: z.string(),
      /** Bytes; missing where the plugin does not say. */
      memory: z.number().optional(),
    }),
  ),
});

/** What a plugin is and drives. */
export type PluginReport = z.infer<typeof reportSchema>;

/** Adds what it is given to itself. */
const doubling = `module @doubling {
  func.func public @main(%x: tensor<4xf32>) -> tensor<4xf32> {
    %0 = stablehlo.add %x, %x : tensor<4xf32>
    return %0 : tensor<4xf32>
  }
}`;

/** Runs the trial in this process; throws what the plugin and its client throw. */
export async function tryPlugin(provider: XlaProvider): Promise<PluginReport> {
  const threads = availableParallelism();
  const opened = await openXlaClient({ provider, threads, devices: 'all' });
  const { client, plugin, version, flags } = opened;
  const executable = await client.compile(doubling, flags);
  for (const device of client.devices) {
    const values = Float32Array.of(1, 2, 3, 4);
    const input = await client.upload(values, [4], device);
    const [output] = await executable.execute(device, [input]);
    await output?.download(values);
    if (values.join() !== '2,4,6,8')
      throw new Error(`device ${device.index} gave ${values.join()}`);
  }
  const devices = client.devices.map(({ index, kind, memory }) => ({
    ...{ index, kind, memory: memory()?.limit },
  }));
  const { platform } = client;
  client.close();
  return { provider, plugin: plugin.path, origin: plugin.origin, version, platform, devices };
}

/** What came of a trial. */
export type PluginResult =
  | { readonly report: PluginReport; readonly failure?: undefined }
  | { readonly report?: undefined; readonly failure: string };

const timeoutMs = 120_000;

/** Runs `lockstep doctor --plugin`; `path`: this plugin. That it fails is a result. */
export async function probePlugin(provider: XlaProvider, path?: string): Promise<PluginResult> {
  let printed = '';
  const end = await runLockstep(['doctor', '--json', '--plugin', provider], {
    onLine: (line) => void (printed += line),
    environment: path === undefined ? {} : { LOCKSTEP_XLA_PLUGIN: path },
    timeoutMs,
  });
  if (end.code === 0) return { report: reportSchema.parse(parseJson(printed)) };
  return { failure: lastWords(end.complaint) || `the process ${describeDeparture(end)}` };
}

/** "2 x NVIDIA H100 80GB HBM3 (80 GiB)", ... */
export function describeDevices({ devices }: PluginReport): string {
  const kinds = new Map<string, number>();
  for (const { kind, memory } of devices) {
    const size = memory === undefined ? '' : ` (${(memory / 1024 ** 3).toFixed(0)} GiB)`;
    kinds.set(`${kind}${size}`, (kinds.get(`${kind}${size}`) ?? 0) + 1);
  }
  return [...kinds].map(([kind, count]) => `${count} x ${kind}`).join(', ');
}
