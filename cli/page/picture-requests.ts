// Requests with a picture: taken up to a limit, enlarged one at a time in the order they came, and
// given up when whoever asked has gone.

import { createReadStream, createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { refuse } from '../../shared/http/server.js';
import { messageOf } from '../../shared/problems.js';
import { enlargeApart, EnlargingProblem } from './enlarging.js';
import { pictureLimits } from '../../inference/page-files.js';

/** The model that is served, and how it is run. */
export interface ServedModel {
  /** Path of the ONNX file, or the name of one that ships. */
  readonly model: string;
  /** Core of a tile, a side, in input pixels. */
  readonly tile: number;
  readonly threads: number;
}

/** Answers requests; the pictures under way are its own until `close`. */
export interface PictureRequests {
  /** Never rejects. */
  answer(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** Gives up what is under way. */
  close(): Promise<void>;
}

/** Requests at a time, the one whose picture is enlarged among them. */
const mostRequests = 8;

/** Longest pause of whoever takes the finished picture. */
const sendTimeoutMs = 60_000;

/** Starts with no request; files go into `folder`. */
export function createPictureRequests(served: ServedModel, folder: string): PictureRequests {
  const closing = new AbortController();
  const underWay = new Set<Promise<void>>();
  let count = 0;
  /** Settles when the last picture of the queue has been enlarged, or was given up. */
  let last: Promise<unknown> = Promise.resolve();
  let queued = 0;

  async function enlargePicture(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => gone.abort(new Error('whoever asked has gone')));
    const signal = AbortSignal.any([gone.signal, closing.signal]);
    const name = join(folder, String(++count));
    const [input, output] = [`${name}.input`, `${name}.png`];
    const say = (line: object): void => void response.write(`${JSON.stringify(line)}\n`);
    try {
      await receive(request, input);
      response.writeHead(200, { 'Content-Type': 'application/octet-stream' });
      if (queued > 0) say({ kind: 'waiting', before: queued });
      queued++;
      const onTile = (done: number, total: number): void => say({ kind: 'tile', done, total });
      const turn = last.then(() => {
        if (!signal.aborted) say({ kind: 'loading' });
        return enlargeApart({ ...served, input, output, ...pictureLimits }, onTile, signal);
      });
      last = turn.catch(() => undefined).finally(() => queued--);
      await turn;
      const { size } = await stat(output);
      say({ kind: 'picture', bytes: size });
      response.setTimeout(sendTimeoutMs, () => response.destroy());
      await pipeline(createReadStream(output), response);
    } catch (error) {
      if (!gone.signal.aborted) endWith(error, response);
    } finally {
      await Promise.all([input, output].map((path) => rm(path, { force: true })));
    }
  }

  return {
    answer: async (request, response) => {
      if (underWay.size >= mostRequests)
        return refuse(response, 503, 'Too many pictures are waiting. Try again in a while.');
      const work = enlargePicture(request, response).finally(() => underWay.delete(work));
      underWay.add(work);
      await work;
    },
    close: async () => {
      closing.abort(new EnlargingProblem('The server was stopped.'));
      await Promise.all(underWay);
    },
  };
}

/** Takes the body of a request into a file; an EnlargingProblem when it is too large. */
async function receive(request: IncomingMessage, path: string): Promise<void> {
  const tooLarge = new EnlargingProblem(
    `The file is too large: at most ${pictureLimits.bytes / 2 ** 20} MB are taken.`,
  );
  if (Number(request.headers['content-length'] ?? 0) > pictureLimits.bytes) throw tooLarge;
  let bytes = 0;
  const bounded = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes > pictureLimits.bytes) done(tooLarge);
      else done(null, chunk);
    },
  });
  await pipeline(request, bounded, createWriteStream(path, { flags: 'wx' }));
}

function endWith(error: unknown, response: ServerResponse): void {
  const isTheirs = error instanceof EnlargingProblem;
  const text = isTheirs ? error.message : `The server has failed: ${messageOf(error)}.`;
  if (response.headersSent)
    return void response.end(`${JSON.stringify({ kind: 'problem', text })}\n`);
  // The rest of the body is not read.
  response.setHeader('Connection', 'close');
  refuse(response, isTheirs ? 413 : 500, text);
}
