// `lockstep doctor`: says whether this machine has what a run needs: Node, the native packages,
// processors, memory, and the servers that the environment names.

import { connect } from 'node:net';
import { totalmem } from 'node:os';
import type { CommandModule } from 'yargs';
import { readEnvironment } from '../../shared/environment.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { engineNames, type EngineName } from '../../shared/spec/schema.js';
import { providers, type Provider } from '../../worker/engine/engine.js';
import { examineDevices, examineEngines } from '../doctor/engines.js';
import { judged, type Finding } from '../doctor/finding.js';
import { listGpus } from '../gpu/devices.js';
import { CommandFailed } from '../failure.js';
import { printJson, printTable } from '../output.js';
import { trialWords, tryEngine, type Trial } from '../probe/trial.js';

interface Arguments {
  readonly engine?: EngineName | undefined;
  readonly provider?: Provider | undefined;
  readonly threads: number;
  readonly json: boolean;
}

/** A worker of the paper preset stays below this. */
const workerBytes = 2 * 1024 ** 3;
const connectTimeoutMs = 3000;

export const doctorCommand: CommandModule<object, Arguments> = {
  command: 'doctor',
  describe: 'Say whether this machine has what a run needs',
  builder: (y) =>
    y
      .option('engine', { choices: engineNames, describe: 'Try this engine, and nothing else' })
      .option('provider', { choices: providers, implies: 'engine', describe: 'On this provider' })
      .option('threads', { type: 'number', default: 1, describe: 'Threads for --engine' })
      .option('json', { type: 'boolean', default: false, describe: 'Print JSON, a line a finding' })
      .example('$0 doctor', `all engines there are, and how long each takes for ${trialWords}`)
      .example('$0 doctor --engine tensorflow --provider cuda', 'why TensorFlow finds no GPU'),
  handler: async ({ engine, provider, threads, json }) => {
    if (engine !== undefined) return show(await tryEngine({ engine, provider, threads }), json);
    const findings = await examine();
    if (json) findings.forEach(printJson);
    else printTable(findings.map(({ what, state, detail }) => [words[state], what, detail]));
    const bad = findings.filter(({ state }) => state === 'bad').map(({ what }) => what);
    if (bad.length > 0)
      throw new CommandFailed(`not in order: ${bad.join(', ')}`, exitCodes.failed);
  },
};

const words = { ok: 'ok', absent: '-', bad: 'BAD' } as const;

function show(trial: Trial, isJson: boolean): void {
  if (isJson) printJson(trial);
  else printTable([['figure', 'value'], ...Object.entries(trial)]);
}

async function examine(): Promise<Finding[]> {
  const { s3, natsUrl } = readEnvironment();
  const gpus = listGpus();
  const memory = `${(totalmem() / 1024 ** 3).toFixed(1)} GiB`;
  return [
    judged('Node', true, process.version),
    ...examineDevices(gpus),
    judged('memory', totalmem() >= workerBytes, memory),
    ...(await examineEngines(gpus)),
    await examinePackage('sharp', () => import('sharp')),
    await examineServer(
      'object store',
      s3.endpoint,
      'AWS, or folders (LOCKSTEP_S3_ENDPOINT is not set)',
    ),
    await examineServer('event bus', natsUrl, 'none (LOCKSTEP_NATS_URL is not set)'),
  ];
}

async function examinePackage(what: string, load: () => Promise<unknown>): Promise<Finding> {
  try {
    await load();
    return judged(what, true, `its binary for ${process.platform}-${process.arch} loads`);
  } catch (error) {
    return judged(what, false, error instanceof Error ? error.message : String(error));
  }
}

async function examineServer(
  what: string,
  url: string | undefined,
  none: string,
): Promise<Finding> {
  if (url === undefined) return judged(what, true, none);
  const { hostname, port, protocol } = new URL(url.split(',', 1)[0] ?? url);
  const implied = { 'http:': 80, 'https:': 443, 'nats:': 4222 }[protocol] ?? 443;
  const address = { host: hostname, port: port === '' ? implied : Number(port) };
  const failure = await connectTo(address);
  const place = `${address.host}:${address.port}`;
  return judged(what, failure === undefined, failure ?? `${place} accepts connections`);
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
