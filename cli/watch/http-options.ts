// The flags that say where a run's page is served, and to whom: this machine only, unless a token
// or TLS keeps strangers out.

import { createServer } from 'node:net';
import type { Options } from 'yargs';
import type { PagePlace } from '../../coordinator/watching.js';
import { isLoopbackHost, type HttpAccess } from '../../shared/http/access.js';
import { parseHttpPlace } from '../../shared/http/server.js';
import { readRegularFile } from '../../shared/local-files.js';
import { messageOf, OperatorError, type Problem } from '../../shared/problems.js';
import { openCertificates, type Holder } from '../../shared/tls/certificates.js';
import { wordOption } from '../options.js';

export const httpOptions = {
  http: wordOption('HOST:PORT of the page that shows the run, or off ($LOCKSTEP_HTTP)'),
  'http-token-file': wordOption('File with the token that whoever opens the page must have'),
  'http-cert': wordOption('Certificate (PEM) for the page, with --http-key'),
  'http-key': wordOption('Private key (PEM) of --http-cert'),
} as const satisfies Record<string, Options>;

/** As yargs gives them. */
export interface HttpArguments {
  readonly http?: string | undefined;
  readonly httpTokenFile?: string | undefined;
  readonly httpCert?: string | undefined;
  readonly httpKey?: string | undefined;
}

/** The flags that are given, as problems where they do not belong. */
export function httpFlagProblems(args: HttpArguments, allowed: string): Problem[] {
  const given = {
    '--http': args.http,
    '--http-token-file': args.httpTokenFile,
    '--http-cert': args.httpCert,
    '--http-key': args.httpKey,
  };
  return Object.entries(given).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, given: value, allowed }],
  );
}

const refusal = 'the page can not be served';

/** Of a token's file, a certificate's or a key's. */
const maxFileBytes = 256 * 1024;

/** Where `lockstep train` serves the page when nobody says. */
const usualPort = 7480;

/**
 * The place that is asked for: undefined for "off" and where none is; throws an OperatorError. A
 * closed program's page takes certificates of observers and operators from other machines.
 */
export async function pagePlace(
  args: HttpArguments,
  fromEnvironment: string | undefined,
  closed?: { readonly folder: string; readonly holder: Holder },
): Promise<PagePlace | undefined> {
  const given = args.http ?? fromEnvironment;
  const problems: Problem[] = [];
  const { httpTokenFile, httpCert, httpKey } = args;
  if (given === undefined) {
    const idle = httpFlagProblems(args, 'beside --http HOST:PORT');
    if (idle.length > 0) throw new OperatorError(refusal, idle);
  }
  if (given === undefined || given === 'off') return undefined;
  const place = parseHttpPlace(given);
  if (place === undefined)
    problems.push({ key: '--http', given, allowed: 'HOST:PORT, such as 127.0.0.1:7480, or off' });
  if ((httpCert === undefined) !== (httpKey === undefined))
    problems.push({
      key: httpCert === undefined ? '--http-cert' : '--http-key',
      ...{ given: undefined, allowed: 'a PEM file, where the other of the two is given' },
    });
  const read = async (key: string, path: string | undefined): Promise<Buffer | undefined> => {
    if (path === undefined) return undefined;
    try {
      return await readRegularFile(path, maxFileBytes);
    } catch (error) {
      problems.push({ key, given: path, allowed: 'a file to read', hint: messageOf(error) });
      return undefined;
    }
  };
  const token = (await read('--http-token-file', httpTokenFile))?.toString().trim();
  if (token !== undefined && !/^[\x21-\x7e]{16,512}$/.test(token))
    problems.push({
      ...{ key: '--http-token-file', given: httpTokenFile },
      allowed: 'a file with 16 to 512 visible characters: openssl rand -hex 24 > token',
    });
  const [cert, key] = [await read('--http-cert', httpCert), await read('--http-key', httpKey)];
  const tls = cert && key && { cert, key };
  if (place !== undefined && !isLoopbackHost(place.host) && !httpTokenFile && !httpCert && !closed)
    problems.push({
      ...{ key: '--http', given, allowed: 'an address of this machine only, such as 127.0.0.1' },
      hint: 'others may look with --tls-dir, --http-token-file, or --http-cert and --http-key',
    });
  if (problems.length > 0 || place === undefined) throw new OperatorError(refusal, problems);
  if (closed !== undefined && tls === undefined && !isLoopbackHost(place.host)) {
    const certificates = openCertificates(closed);
    return { ...place, access: { kind: 'certificate', certificates, token } };
  }
  return { ...place, access: accessOf(place.host, token, tls) };
}

function accessOf(
  host: string,
  token: string | undefined,
  tls: { readonly cert: Buffer; readonly key: Buffer } | undefined,
): HttpAccess {
  if (token !== undefined) return { kind: 'token', token, ...(tls === undefined ? {} : { tls }) };
  if (tls !== undefined) return { kind: 'tls', ...tls };
  return { kind: isLoopbackHost(host) ? 'loopback' : 'open' };
}

/**
 * The flags for the coordinators of a local run, which serve the page in turn at one place: the one
 * that is asked for, else the usual port of this machine, or one that is free.
 */
export async function localPageFlags(
  args: HttpArguments,
  fromEnvironment: string | undefined,
): Promise<string[]> {
  const given = args.http ?? fromEnvironment ?? `127.0.0.1:${usualPort}`;
  if (given === 'off') return ['--http', 'off'];
  const place = await pagePlace({ ...args, http: given }, undefined);
  const isChosen = args.http !== undefined || fromEnvironment !== undefined;
  const { host, port } = place ?? { host: '127.0.0.1', port: usualPort };
  const free = isChosen && port !== 0 ? port : await freePort(host, port);
  return [
    ...['--http', `${host.includes(':') ? `[${host}]` : host}:${free}`],
    ...(args.httpTokenFile === undefined ? [] : ['--http-token-file', args.httpTokenFile]),
    ...(args.httpCert === undefined ? [] : ['--http-cert', args.httpCert]),
    ...(args.httpKey === undefined ? [] : ['--http-key', args.httpKey]),
  ];
}

/** The port wanted if nobody has it, else one that the system gives. */
async function freePort(host: string, wanted: number): Promise<number> {
  for (const port of [wanted, 0]) {
    const found = await new Promise<number | undefined>((resolve) => {
      const server = createServer();
      server.once('error', () => resolve(undefined));
      server.listen(port, host, () => {
        const address = server.address();
        const number = typeof address === 'object' && address !== null ? address.port : undefined;
        server.close(() => resolve(number));
      });
    });
    if (found !== undefined) return found;
  }
  return wanted;
}
