// A Kubernetes API server as far as the command line needs one, on loopback: objects in memory,
// versions, watches, owners that take along what they own. It refuses and breaks off on demand. It
// has no controllers, checks no rights and validates nothing.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import { mergePatch, selects, sendStatus, type FakeObject } from './fake-objects.js';

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: string;
  readonly contentType: string;
}

/** What is answered instead; undefined lets the request through. */
export type Fault = (
  request: SeenRequest,
  response: ServerResponse,
) => 'answered' | 'loseAnswer' | undefined;

interface Watcher {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly response: ServerResponse;
}

export class FakeApiServer {
  readonly requests: SeenRequest[] = [];
  /** By path, without the query. */
  readonly objects = new Map<string, FakeObject>();
  /** Asked in turn for each request; the first that answers decides. */
  readonly faults: Fault[] = [];
  /** Texts of logs by pod. */
  readonly logs = new Map<string, string>();
  #version = 100;
  #uids = 0;
  readonly #watchers = new Set<Watcher>();
  readonly #server = createServer((request, response) => {
    void this.#handle(request, response);
  });

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get address(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  config(): KubeConfig {
    const config = new KubeConfig();
    config.loadFromOptions({
      clusters: [{ name: 'fake', server: this.address, skipTLSVerify: true }],
      users: [{ name: 'fake', token: 'a-token' }],
      contexts: [{ name: 'fake', cluster: 'fake', user: 'fake' }],
      currentContext: 'fake',
    });
    return config;
  }

  /** The next request that matches is treated once by `fault`. */
  once(method: string, path: RegExp, fault: Fault): void {
    const only: Fault = (request, response) => {
      if (request.method !== method || !path.test(request.path)) return undefined;
      this.faults.splice(this.faults.indexOf(only), 1);
      return fault(request, response);
    };
    this.faults.push(only);
  }

  /** Changes an object as a controller would. */
  change(path: string, change: object): FakeObject {
    return this.#store(path, mergePatch(this.objects.get(path) ?? {}, change) as FakeObject);
  }

  remove(path: string): void {
    const object = this.objects.get(path);
    if (object === undefined) return;
    this.objects.delete(path);
    this.#version += 1;
    this.#tell('DELETED', path, {
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(this.#version) },
    });
    const uid = object.metadata.uid;
    for (const [dependent, { metadata }] of this.objects)
      if (metadata.ownerReferences?.some((owner) => owner.uid === uid)) this.remove(dependent);
  }

  /** Ends all watches: in order, by breaking off, or with an event first. */
  endWatches(how: 'end' | 'cut' | object): void {
    for (const watcher of this.#watchers) {
      this.#watchers.delete(watcher);
      if (how === 'cut') watcher.response.destroy();
      else watcher.response.end(how === 'end' ? undefined : `${JSON.stringify(how)}\n`);
    }
  }

  get watches(): number {
    return this.#watchers.size;
  }

  async #handle(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of message) parts.push(part as Buffer);
    const { pathname: path, searchParams: query } = new URL(message.url ?? '/', 'http://fake');
    const request: SeenRequest = {
      ...{ method: message.method ?? '', path, query },
      body: Buffer.concat(parts).toString('utf8'),
      contentType: message.headers['content-type'] ?? '',
    };
    this.requests.push(request);
    for (const fault of [...this.faults]) {
      const done = fault(request, response);
      if (done === 'answered') return;
      if (done === 'loseAnswer') response.end = () => response.destroy();
    }
    this.#answer(request, response);
  }

  #answer(request: SeenRequest, response: ServerResponse): void {
    const { method, path, query } = request;
    const log = /\/pods\/([^/]+)\/log$/.exec(path)?.[1];
    if (log !== undefined) return void response.end(this.logs.get(log) ?? '');
    if (query.get('watch') === 'true') return this.#watch({ path, query, response });
    if (method === 'POST') return this.#create(request, response);
    if (method === 'PATCH') return this.#patch(request, response);
    // Without a name behind it, it is all objects of a kind.
    if (/\/namespaces\/[^/]+\/[^/]+$/.test(path)) return this.#list(path, query, response);
    const object = this.objects.get(path);
    if (object === undefined) return sendStatus(response, 404, 'NotFound');
    if (method === 'DELETE') {
      const { preconditions } = JSON.parse(request.body || '{}') as {
        preconditions?: { uid?: string };
      };
      if (preconditions?.uid !== undefined && preconditions.uid !== object.metadata.uid)
        return sendStatus(response, 409, 'Conflict');
      this.remove(path);
    }
    response.end(JSON.stringify(object));
  }

  #list(path: string, query: URLSearchParams, response: ServerResponse): void {
    const items = [...this.objects]
      .filter(([at, object]) => at.startsWith(`${path}/`) && selects(query, object))
      .map(([, object]) => object);
    response.end(JSON.stringify({ items, metadata: { resourceVersion: String(this.#version) } }));
  }

  #create({ path, body }: SeenRequest, response: ServerResponse): void {
    const object = JSON.parse(body) as FakeObject;
    const at = `${path}/${object.metadata.name}`;
    if (this.objects.has(at)) return sendStatus(response, 409, 'AlreadyExists');
    response.writeHead(201);
    response.end(JSON.stringify(this.#store(at, object)));
  }

  #patch({ path, body, contentType }: SeenRequest, response: ServerResponse): void {
    const before = this.objects.get(path);
    const isApply = contentType.startsWith('application/apply-patch');
    if (before === undefined && !isApply) return sendStatus(response, 404, 'NotFound');
    const change = JSON.parse(body) as FakeObject;
    const expected = change.metadata?.resourceVersion;
    if (expected !== undefined && expected !== before?.metadata.resourceVersion)
      return sendStatus(response, 409, 'Conflict');
    response.end(JSON.stringify(this.#store(path, mergePatch(before ?? {}, change) as FakeObject)));
  }

  #store(path: string, object: FakeObject): FakeObject {
    const before = this.objects.get(path);
    this.#version += 1;
    const uid = before?.metadata.uid ?? `uid-${++this.#uids}`;
    const stored = {
      ...object,
      metadata: { ...object.metadata, uid, resourceVersion: String(this.#version) },
    };
    this.objects.set(path, stored);
    this.#tell(before === undefined ? 'ADDED' : 'MODIFIED', path, stored);
    return stored;
  }

  #watch(watcher: Watcher): void {
    watcher.response.writeHead(200, { 'content-type': 'application/json' });
    watcher.response.flushHeaders();
    this.#watchers.add(watcher);
    watcher.response.on('close', () => this.#watchers.delete(watcher));
    // What has changed since the version that is asked for, as a server would.
    const since = Number(watcher.query.get('resourceVersion'));
    for (const [path, object] of this.objects)
      if (Number(object.metadata.resourceVersion) > since)
        this.#send(watcher, 'MODIFIED', path, object);
  }

  #tell(type: string, path: string, object: FakeObject): void {
    for (const watcher of this.#watchers) this.#send(watcher, type, path, object);
  }

  #send(
    { path: of, query, response }: Watcher,
    type: string,
    path: string,
    object: FakeObject,
  ): void {
    if (path.startsWith(`${of}/`) && selects(query, object))
      response.write(`${JSON.stringify({ type, object })}\n`);
  }
}
