// The server of the page: gives its files, and takes a picture at POST /enlarge. The answer to that
// is lines of JSON that say how far it is; the last one announces the bytes of a PNG, which follow.
// A picture lies in a file of the server's own folder, and goes with its request.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { isLoopbackHost } from '../../shared/http/access.js';
import { mediaTypes, refuse, startHttpServer, type Handler } from '../../shared/http/server.js';
import { createPictureRequests, type ServedModel } from './picture-requests.js';

export interface PageServerOptions extends ServedModel {
  readonly host: string;
  /** 0 takes any that is free. */
  readonly port: number;
  /** What it gives, by name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** A server that listens; owns its folder and the work under way until `close`. */
export interface PageServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Starts to listen; an OperatorError when the place is taken or not this machine's. */
export async function startPageServer(options: PageServerOptions): Promise<PageServer> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-page-'));
  const pictures = createPictureRequests(options, folder);
  const { host, port } = options;
  try {
    const server = await startHttpServer({
      ...{ host, port, key: '--port', hostKey: '--host' },
      // Who asks for an address that others reach is told that there is no password.
      access: { kind: isLoopbackHost(host) ? 'loopback' : 'open' },
      routes: new Map<string, Handler>([
        ['POST /enlarge', (request, response) => pictures.answer(request, response)],
        ['/', giveFile(options.files)],
      ]),
      closing: () => pictures.close(),
    });
    const close = async (): Promise<void> => {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    };
    return { url: server.url, close };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

function giveFile(files: ReadonlyMap<string, Uint8Array>): Handler {
  return (_request, response, { pathname }) => {
    const name = pathname === '/' ? 'index.html' : pathname.slice(1);
    const content = files.get(name);
    if (content === undefined) return refuse(response, 404, 'There is nothing of this name.');
    response.setHeader('Content-Type', mediaTypes[extname(name)] ?? 'application/octet-stream');
    response.setHeader('Content-Length', content.length);
    response.end(content);
  };
}
