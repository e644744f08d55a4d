// `lockstep doctor`: says whether this machine has what a run needs: Node, the native packages,
// processors, memory, and the servers that the environment names.

import { connect } from 'node:net';
import { availableParallelism, totalmem } from 'node:os';
import type { CommandModule } from 'yargs';
import { readEnvironment } from '../../shared/environment.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { CommandFailed } from '../failure.js';
import { printJson, printTable } from '../output.js';

interface Arguments {
  readonly json: boolean;
}

/** One finding about the machine. */
interface Finding {
  readonly what: string;
  readonly isGood: boolean;
  readonly detail: string;
}

/** A worker of the paper preset stays below this. */
const workerBytes = 2 * 1024 ** 3;
const connectTimeoutMs = 3000;

export const doctorCommand: CommandModule<object, Arguments> = {
  command: 'doctor',
  describe: 'Say whether this machine has what a run needs',
  builder: (y) =>
    y.option('json', { type: 'boolean', default: false, describe: 'Print JSON, a line a finding' }),
  handler: async ({ json }) => {
    const findings = await examine();
    if (json) findings.forEach(printJson);
    else
      printTable(findings.map(({ what, isGood, detail }) => [isGood ? 'ok' : 'BAD', what, detail]));
    const bad = findings.filter((finding) => !finding.isGood).map((finding) => finding.what);
    if (bad.length > 0)
      throw new CommandFailed(`not in order: ${bad.join(', ')}`, exitCodes.failed);
  },
};

async function examine(): Promise<Finding[]> {
  const { s3, natsUrl } = readEnvironment();
  const memory = `${(totalmem() / 1024 ** 3).toFixed(1)} GiB`;
  return [
    { what: 'Node', isGood: true, detail: process.version },
    { what: 'processors', isGood: true, detail: String(availableParallelism()) },
    { what: 'memory', isGood: totalmem() >= workerBytes, detail: memory },
    await examinePackage('onnxruntime-node', () => import('onnxruntime-node')),
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
    return {
      what,
      isGood: true,
      detail: `its binary for ${process.platform}-${process.arch} loads`,
    };
  } catch (error) {
    return { what, isGood: false, detail: error instanceof Error ? error.message : String(error) };
  }
}

async function examineServer(
  what: string,
  url: string | undefined,
  none: string,
): Promise<Finding> {
  if (url === undefined) return { what, isGood: true, detail: none };
  const { hostname, port, protocol } = new URL(url.split(',', 1)[0] ?? url);
  const implied = { 'http:': 80, 'https:': 443, 'nats:': 4222 }[protocol] ?? 443;
  const address = { host: hostname, port: port === '' ? implied : Number(port) };
  const failure = await connectTo(address);
  const place = `${address.host}:${address.port}`;
  return { what, isGood: failure === undefined, detail: failure ?? `${place} accepts connections` };
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
