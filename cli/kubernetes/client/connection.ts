// One request to the API server of a cluster: the library's KubeConfig says how (address, TLS,
// credentials, proxy), node's own http does it. What an answer means is not known here.

import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { OperatorError } from '../../../shared/problems.js';

/** What is asked. */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal | undefined;
}

/** An answer whose body has not been read. */
export interface ApiAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: IncomingMessage;
}

/** The way to one API server. */
export interface Connection {
  /** Address of the server, for messages. */
  readonly server: string;
  /** Resolves with the head of the answer, whatever its status; rejects when there is none. */
  send(request: ApiRequest): Promise<ApiAnswer>;
}

/** Longest silence of the server, before an answer and within one. */
const silenceMs = 30_000;

/** Reads $KUBECONFIG or ~/.kube/config; `context` names one of its contexts. */
export async function loadConfig(context: string | undefined): Promise<KubeConfig> {
  // The library is large, and commands that need no cluster shall start at once.
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  try {
    config.loadFromDefault();
  } catch (error) {
    throw noCluster(
      'KUBECONFIG',
      undefined,
      error instanceof Error ? error.message : String(error),
    );
  }
  const contexts = config.getContexts().map(({ name }) => name);
  if (context !== undefined) {
    if (!contexts.includes(context))
      throw noCluster('--context', context, `there are: ${contexts.join(', ') || 'none'}`);
    config.setCurrentContext(context);
  }
  // What the library falls back to when there is no configuration at all.
  const server = config.getCurrentCluster()?.server;
  if (server === undefined || server === 'http://localhost:8080')
    throw noCluster(
      'KUBECONFIG',
      undefined,
      'there is none, or its current context is of no cluster',
    );
  return config;
}

function noCluster(key: string, given: string | undefined, hint: string): OperatorError {
  const allowed = 'a kubeconfig in $KUBECONFIG or ~/.kube/config, with a context for the cluster';
  return new OperatorError('which cluster is meant is not clear', [{ key, given, allowed, hint }]);
}

/** A connection by the current context of a configuration. */
export function createConnection(config: KubeConfig, silentMs = silenceMs): Connection {
  const server = config.getCurrentCluster()?.server ?? '';
  return {
    server,
    async send(request) {
      const url = urlOf(server, request);
      const body = request.body === undefined ? undefined : JSON.stringify(request.body);
      const options = await optionsOf(config, request, body, silentMs);
      return exchange(url, options, body, silentMs);
    },
  };
}

function urlOf(server: string, { path, query = {} }: ApiRequest): URL {
  const url = new URL(server.replace(/\/+$/, '') + path);
  for (const [key, value] of Object.entries(query))
    if (value !== undefined) url.searchParams.set(key, String(value));
  return url;
}

async function optionsOf(
  config: KubeConfig,
  { method, contentType = 'application/json', signal }: ApiRequest,
  body: string | undefined,
  timeout: number,
): Promise<RequestOptions> {
  const options: RequestOptions = { method, timeout, ...(signal === undefined ? {} : { signal }) };
  await config.applyToHTTPSOptions(options);
  options.headers = {
    ...options.headers,
    accept: 'application/json',
    ...(body === undefined
      ? {}
      : { 'content-type': contentType, 'content-length': Buffer.byteLength(body) }),
  };
  return options;
}

function exchange(
  url: URL,
  options: RequestOptions,
  body: string | undefined,
  silentMs: number,
): Promise<ApiAnswer> {
  const open = url.protocol === 'http:' ? httpRequest : httpsRequest;
  return new Promise((resolve, reject) => {
    const request = open(url, options, (answer) =>
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: answer }),
    );
    request.on('timeout', () =>
      request.destroy(new Error(`the server was silent for ${silentMs / 1000} s`)),
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** The whole body as text, up to a limit; rejects when the connection is lost within it. */
export async function readText({ body }: ApiAnswer, mostBytes = 16 * 1024 * 1024): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += (part as Buffer).length;
    if (bytes > mostBytes) throw new Error(`the answer is longer than ${mostBytes} bytes`);
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString('utf8');
}
