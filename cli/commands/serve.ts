// `lockstep serve`: a page on which faces are enlarged with an exported generator.

import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import { defaultModel } from '../../inference/models.js';
import { loadNetwork } from '../../inference/onnx-network.js';
import { stopWhenInterrupted } from '../interruptions.js';
import { requireRanges } from '../number-ranges.js';
import { amountOption, flagOption, textOption, wordOption } from '../options.js';
import { printJson, printLine, printNote } from '../output.js';
import { readPageFiles } from '../../inference/page-files.js';
import { startPageServer } from '../page/page-server.js';

/** As `lockstep upscale` has it, so that the pictures are the same. */
const tile = 192;
const mostThreads = 256;

const options = {
  port: amountOption('Port; 0 takes any that is free', { default: 7481 }),
  host: wordOption('Address to listen on; by default only this machine reaches it', {
    default: '127.0.0.1',
  }),
  threads: amountOption('Processor threads; all when left out'),
  json: flagOption('Print JSON on one line, once it listens'),
} as const satisfies Record<string, Options>;

type Arguments = { readonly model?: string | undefined } & InferredOptionTypes<typeof options>;

export const serveCommand: CommandModule<object, Arguments> = {
  command: 'serve [model]',
  describe: 'Serve a page that enlarges the pictures dropped on it',
  builder: (y) =>
    y
      .positional('model', {
        ...textOption('Name of one that ships, or model.onnx of lockstep export'),
        default: defaultModel,
      })
      .options(options)
      .example('$0 serve', 'Then open http://127.0.0.1:7481/')
      .example('$0 serve model.onnx --host 0.0.0.0', 'For a private network; there is no password'),
  handler: runServe,
};

async function runServe(args: Arguments): Promise<void> {
  const { model = defaultModel, port, host, json } = args;
  const threads = args.threads ?? Math.min(availableParallelism(), mostThreads);
  requireRanges('the flags are wrong', {
    '--port': [port, 0, 65_535],
    '--threads': [threads, 1, mostThreads],
  });
  const stop = stopWhenInterrupted({ outlivesReaders: true });
  // What is wrong with the model is said now, and not to whoever gives the first picture.
  await (await loadNetwork(model, 1)).close();
  const name = basename(model).replace(/\.onnx$/, '');
  const files = await readPageFiles('server', name);
  const server = await startPageServer({ host, port, files, model, tile, threads });
  if (json) printJson({ kind: 'listening', url: server.url, model: name });
  else printLine(`Open ${server.url} in a browser. Ctrl-C ends it.`);
  if (!/^(127\.|::1$|localhost$)/.test(host))
    printNote('Whoever reaches this address can use it: there is no password and no encryption.');
  if (!stop.aborted)
    await new Promise((resolve) => stop.addEventListener('abort', resolve, { once: true }));
  await server.close();
}
