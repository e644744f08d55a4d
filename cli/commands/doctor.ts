// `lockstep doctor`: whether this machine has what a run needs: Node, the native packages,
// processors, memory, engines, and the servers that the environment names.

import { connect } from 'node:net';
import { cpus, totalmem } from 'node:os';
import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import { readEnvironment } from '../../shared/environment.js';
import { tryEventBus } from '../../shared/events/nats-connection.js';
import { chosenNats } from '../../shared/events/nats-url.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { messageOf } from '../../shared/problems.js';
import { engineNames } from '../../shared/spec/schema.js';
import { recordKey } from '../../shared/spec/record.js';
import { requireConditionalPuts } from '../../shared/store/probe.js';
import { providers } from '../../worker/engine/engine.js';
import { hasKoffi } from '../../worker/engine/xla/native.js';
import { hasPlugin, xlaProviders } from '../../worker/engine/xla/plugin.js';
import { probe, trialWords, tryEngine, type TrialRequest } from '../engine-trial.js';
import { CommandFailed } from '../failure.js';
import { listGpus, type Gpu } from '../local/gpus.js';
import { gib, memoryLimit } from '../local/memory.js';
import { describeDevices, probePlugin, tryPlugin, type PluginReport } from '../plugin-trial.js';
import { flagOption, numberOption, wordOption } from '../options.js';
import { printFigures, printJson, printTable } from '../output.js';
import { runUrl, withStore } from '../stores.js';

const options = {
  engine: { choices: engineNames, describe: 'Try this engine, and nothing else' },
  provider: { choices: providers, implies: 'engine', describe: 'On this provider' },
  plugin: { choices: xlaProviders, describe: "Try XLA's plugin for these devices, and no more" },
  run: wordOption('Try the place of a run as well: its rights, and that nothing is replaced'),
  threads: numberOption('Threads for --engine', { default: 1 }),
  json: flagOption('Print JSON, a line a finding'),
} as const satisfies Record<string, Options>;

/** What an examination finds. */
interface Finding {
  readonly what: string;
  /** `absent`: not there, and not needed unless a run asks for it. */
  readonly state: 'ok' | 'absent' | 'bad';
  readonly detail: string;
}

const stateWords = { ok: 'ok', absent: '-', bad: 'BAD' } as const;

/** A worker of the paper preset stays below this. */
const workerBytes = 2 * 1024 ** 3;
const connectTimeoutMs = 3000;

export const doctorCommand: CommandModule<object, InferredOptionTypes<typeof options>> = {
  command: 'doctor',
  describe: 'Say whether this machine has what a run needs',
  builder: (y) =>
    y
      .options(options)
      .example('$0 doctor', `all engines there are, and how long each takes for ${trialWords}`)
      .example('$0 doctor --run s3://bucket/runs/faces', 'whether a run can lie there')
      .example('$0 doctor --engine tensorflow --provider cuda', 'why TensorFlow finds no GPU'),
  handler: async ({ engine, provider, plugin, run, threads, json }) => {
    const place = run === undefined ? undefined : runUrl(run, { key: '--run' });
    if (engine !== undefined)
      return printFigures(await tryEngine({ engine, provider, threads }), json);
    if (plugin !== undefined) return printPlugin(await tryPlugin(plugin), json);
    const findings = await examine(place);
    if (json) findings.forEach(printJson);
    else printTable(findings.map(({ what, state, detail }) => [stateWords[state], what, detail]));
    const bad = findings.filter(({ state }) => state === 'bad').map(({ what }) => what);
    if (bad.length > 0)
      throw new CommandFailed(`not in order: ${bad.join(', ')}`, exitCodes.failed);
  },
};

async function examine(place: string | undefined): Promise<Finding[]> {
  const { s3 } = readEnvironment();
  const gpus = listGpus();
  const limit = memoryLimit();
  const machine = gib(totalmem());
  const memory =
    limit === undefined ? machine : `${gib(limit)}, which this container may use of ${machine}`;
  const processors = cpus();
  const model = processors[0]?.model.trim() ?? '?';
  const noStore = 'AWS, or folders (LOCKSTEP_S3_ENDPOINT is not set)';
  return [
    judged('Node', true, process.version),
    judged('processors', true, `${processors.length} of ${model}`),
    gpus.length === 0
      ? { what: 'GPUs', state: 'absent', detail: 'nvidia-smi lists none' }
      : judged('GPUs', true, gpus.map(({ id, name }) => `${id}: ${name}`).join('; ')),
    judged('memory', (limit ?? totalmem()) >= workerBytes, memory),
    ...(await examinePlugins()),
    ...(await examineEngines(gpus)),
    await examinePackage('sharp', () => import('sharp')),
    await examineServer('object store', s3.endpoint, noStore),
    ...(place === undefined ? [] : [await examinePlace(place)]),
    await examineBus(),
  ];
}

function judged(what: string, isGood: boolean, detail: string): Finding {
  return { what, state: isGood ? 'ok' : 'bad', detail };
}

function printPlugin(report: PluginReport, isJson: boolean): void {
  const { devices, ...rest } = report;
  if (isJson) printJson(report);
  else printFigures({ ...rest, devices: `${devices.length}: ${describeDevices(report)}` }, false);
}

/** The plugins of XLA's that are set up. */
async function examinePlugins(): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const provider of xlaProviders.filter(hasPlugin)) {
    const { report, failure } = await probePlugin(provider);
    const what = `XLA plugin for ${provider}`;
    // A plugin that another installation set up, which this one has nothing to call with.
    const state = hasKoffi() ? 'bad' : 'absent';
    if (report === undefined) findings.push({ what, state, detail: failure });
    else {
      const detail = `${report.origin}, PJRT ${report.version}: ${describeDevices(report)}`;
      findings.push(judged(what, true, detail));
    }
  }
  if (findings.length > 0) return findings;
  return [{ what: 'XLA plugins', state: 'absent', detail: 'none: npm run setup:xla installs one' }];
}

/** Every engine on every provider that this machine could have, one after the other. */
async function examineEngines(gpus: readonly Gpu[]): Promise<Finding[]> {
  const candidates: Omit<TrialRequest, 'threads'>[] = [
    { engine: 'onnx', provider: 'cpu' },
    { engine: 'onnx', provider: 'webgpu' },
    { engine: 'onnx', provider: 'cuda' },
    { engine: 'tensorflow', provider: 'cpu' },
    { engine: 'tensorflow', provider: 'cuda' },
    ...xlaProviders.filter(hasPlugin).map((provider) => ({ engine: 'xla', provider }) as const),
  ];
  const findings: Finding[] = [];
  for (const { engine, provider } of candidates) {
    if (provider === 'cuda' && gpus.length === 0) continue;
    const what = `${engine} on ${provider}`;
    const { trial, failure } = await probe({ engine, provider, threads: 1 });
    // This one comes with npm's packages, and must work.
    const isNeeded = engine === 'onnx' && provider === 'cpu';
    if (trial === undefined)
      findings.push({ what, state: isNeeded ? 'bad' : 'absent', detail: failure });
    else {
      const { fingerprint, milliseconds, gflops } = trial;
      findings.push(judged(what, true, `${fingerprint}: ${milliseconds} ms, ${gflops} GFLOP/s`));
    }
  }
  return findings;
}

/** Whether runs can lie there: what a run does to its place is done once. */
async function examinePlace(url: string): Promise<Finding> {
  const what = 'place of the run';
  try {
    return await withStore(url, async (store) => {
      await requireConditionalPuts(store);
      const isRun = (await store.head(recordKey)) !== undefined;
      const detail = isRun ? 'holds a run' : 'holds no run yet';
      return judged(what, true, `${url} ${detail}; it can be written, and nothing is replaced`);
    });
  } catch (error) {
    return judged(what, false, messageOf(error).replace(/\s*\n\s*- /g, ': '));
  }
}

async function examinePackage(what: string, load: () => Promise<unknown>): Promise<Finding> {
  try {
    await load();
    return judged(what, true, `its binary for ${process.platform}-${process.arch} loads`);
  } catch (error) {
    return judged(what, false, messageOf(error));
  }
}

async function examineServer(
  what: string,
  url: string | undefined,
  none: string,
): Promise<Finding> {
  if (url === undefined) return judged(what, true, none);
  const { hostname, port, protocol } = new URL(url);
  const implied = protocol === 'http:' ? 80 : 443;
  const address = {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? implied : Number(port),
  };
  const failure = await connectTo(address);
  const place = `${address.host}:${address.port}`;
  return judged(what, failure === undefined, failure ?? `${place} accepts connections`);
}

/** Logs in as a coordinator does, and looks for JetStream. */
async function examineBus(): Promise<Finding> {
  const what = 'event bus';
  try {
    const nats = chosenNats(undefined, readEnvironment());
    if (nats === undefined) return judged(what, true, 'none (LOCKSTEP_NATS_URL is not set)');
    const shown = await tryEventBus(nats);
    return judged(what, true, `${shown} takes the login, and has JetStream`);
  } catch (error) {
    return judged(what, false, messageOf(error).replace(/\s*\n\s*- /g, ': '));
  }
}

/** Undefined when a TCP connection could be made, else why not. */
function connectTo(address: { host: string; port: number }): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ ...address, timeout: connectTimeoutMs });
    const end = (failure: string | undefined): void => {
      socket.destroy();
      resolve(failure);
    };
    socket.once('connect', () => end(undefined));
    socket.once('timeout', () => end(`no answer within ${connectTimeoutMs / 1000} s`));
    socket.once('error', (error) => end(error.message));
  });
}
