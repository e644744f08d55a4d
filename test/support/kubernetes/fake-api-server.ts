// A Kubernetes API server as far as Lockstep needs one, on loopback: objects in memory, versions,
// conflicts, watches, logs, owners that take along what they own. It fails in many ways on demand.
// It has no controllers, checks no rights, and validates Leases only.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import { carryToPods, type WhereTo } from './fake-kubelet.js';

/** An object as it lies in the server. */
export interface FakeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  /** Of an event. */
  readonly type?: string;
  readonly metadata: {
    readonly name: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly { readonly uid: string }[];
  };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, string>>;
}

export interface SeenRequest {
  readonly atMs: number;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly token: string;
  readonly body: string;
  readonly contentType: string;
}

/** What goes wrong with requests. */
export interface ApiFault {
  /** Only requests of this method, path, or user. */
  readonly method?: string;
  readonly path?: RegExp;
  readonly token?: string;
  /** How many of them; all until `clear` when not given. */
  readonly times?: number;
  /** Answers this instead of doing it. */
  readonly status?: number;
  readonly reason?: string;
  readonly details?: object;
  readonly message?: string;
  readonly retryAfterS?: number;
  /** Cuts the connection: before it is done, or after, so that only the answer is lost. */
  readonly cut?: 'before' | 'after';
  /** Answers so much later. */
  readonly delayMs?: number;
  /** Answers in its own way, or (false) lets the request through. */
  answer?(request: SeenRequest, response: ServerResponse): boolean;
}

interface Watcher {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly response: ServerResponse;
}

export class FakeApiServer {
  readonly requests: SeenRequest[] = [];
  /** By path, without the query. */
  readonly objects = new Map<string, FakeObject>();
  /** Texts of logs by pod. */
  readonly logs = new Map<string, string>();
  #faults: { readonly fault: ApiFault; left: number }[] = [];
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

  /** A user's configuration; the user is known by the token. */
  config(token = 'a-token'): KubeConfig {
    const config = new KubeConfig();
    const { port } = this.#server.address() as AddressInfo;
    const server = `http://127.0.0.1:${port}`;
    config.loadFromOptions({
      clusters: [{ name: 'fake', server, skipTLSVerify: true }],
      users: [{ name: 'fake', token }],
      contexts: [{ name: 'fake', cluster: 'fake', user: 'fake' }],
      currentContext: 'fake',
    });
    return config;
  }

  /** Carries what asks for a pod's port. */
  carry(whereTo: WhereTo): void {
    carryToPods(this.#server, whereTo);
  }

  inflict(fault: ApiFault): void {
    this.#faults.push({ fault, left: fault.times ?? Infinity });
  }

  /** Ends a fault, or all. */
  clear(fault?: ApiFault): void {
    this.#faults = this.#faults.filter((one) => fault !== undefined && one.fault !== fault);
  }

  /** Changes an object as a controller would, or makes it. */
  change(path: string, change: object): FakeObject {
    return this.#store(path, mergePatch(this.objects.get(path) ?? {}, change) as FakeObject);
  }

  remove(path: string): void {
    const object = this.objects.get(path);
    if (object === undefined) return;
    this.objects.delete(path);
    this.#version += 1;
    this.#announce('DELETED', path, {
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
    const atMs = performance.now();
    const parts: Buffer[] = [];
    for await (const part of message) parts.push(part as Buffer);
    const { pathname: path, searchParams: query } = new URL(message.url ?? '/', 'http://fake');
    const request: SeenRequest = {
      ...{ atMs, method: message.method ?? '', path, query },
      token: (message.headers.authorization ?? '').replace('Bearer ', ''),
      body: Buffer.concat(parts).toString('utf8'),
      contentType: message.headers['content-type'] ?? '',
    };
    this.requests.push(request);
    for (const active of this.#faults) {
      const { method, path: of, token, answer } = active.fault;
      const isMeant =
        (method ?? request.method) === request.method &&
        (token ?? request.token) === request.token &&
        of?.test(path) !== false;
      if (!isMeant || active.left === 0) continue;
      active.left -= 1;
      if (answer?.(request, response) ?? fail(active.fault, response)) return;
    }
    this.#answer(request, response);
  }

  #answer(request: SeenRequest, response: ServerResponse): void {
    const { method, path, query } = request;
    const log = /\/pods\/([^/]+)\/log$/.exec(path)?.[1];
    if (log !== undefined) return void response.end(this.logs.get(log) ?? '');
    if (query.get('watch') === 'true') return this.#watch({ path, query, response });
    if (method === 'POST' || method === 'PUT' || method === 'PATCH')
      return this.#write(request, response);
    // Without a name behind it, it is all objects of a kind.
    if (/\/namespaces\/[^/]+\/[^/]+$/.test(path)) return this.#list(path, query, response);
    const object = this.objects.get(path);
    if (object === undefined) return refuse(response, 404, 'NotFound');
    if (method === 'DELETE') {
      const { preconditions } = JSON.parse(request.body || '{}') as {
        preconditions?: { uid?: string };
      };
      if (preconditions?.uid !== undefined && preconditions.uid !== object.metadata.uid)
        return refuse(response, 409, 'Conflict');
      this.remove(path);
    }
    send(response, 200, object);
  }

  #list(path: string, query: URLSearchParams, response: ServerResponse): void {
    const items = [...this.objects]
      .filter(([at, object]) => at.startsWith(`${path}/`) && selects(query, object))
      .map(([, object]) => object);
    send(response, 200, { items, metadata: { resourceVersion: String(this.#version) } });
  }

  #write({ method, path, body, contentType }: SeenRequest, response: ServerResponse): void {
    const given = JSON.parse(body) as FakeObject;
    const at = method === 'POST' ? `${path}/${given.metadata.name}` : path;
    const before = this.objects.get(at);
    if (method === 'POST' && before !== undefined) return refuse(response, 409, 'AlreadyExists');
    const mayCreate = method === 'POST' || contentType.startsWith('application/apply-patch');
    if (before === undefined && !mayCreate) return refuse(response, 404, 'NotFound');
    const version = given.metadata?.resourceVersion;
    if (version !== undefined && version !== before?.metadata.resourceVersion)
      return refuse(response, 409, 'Conflict');
    const wanted = (method === 'PATCH' ? mergePatch(before ?? {}, given) : given) as FakeObject;
    if (!isValid(wanted)) return refuse(response, 422, 'Invalid');
    send(response, method === 'POST' ? 201 : 200, this.#store(at, wanted));
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
    this.#announce(before === undefined ? 'ADDED' : 'MODIFIED', path, stored);
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
        this.#sendEvent(watcher, 'MODIFIED', path, object);
  }

  #announce(type: string, path: string, object: FakeObject): void {
    for (const watcher of this.#watchers) this.#sendEvent(watcher, type, path, object);
  }

  #sendEvent({ path, query, response }: Watcher, type: string, at: string, object: FakeObject) {
    if (at.startsWith(`${path}/`) && selects(query, object))
      response.write(`${JSON.stringify({ type, object })}\n`);
  }
}

/** True: the request has got its answer, or none. */
function fail(fault: ApiFault, response: ServerResponse): boolean {
  const { status, reason = '', message, details, retryAfterS, cut, delayMs = 0 } = fault;
  const end = response.end.bind(response) as (text?: unknown) => ServerResponse;
  if (cut === 'before') response.destroy();
  if (cut === 'after') response.end = () => response.destroy();
  else if (delayMs > 0)
    response.end = (text?: unknown) => {
      setTimeout(() => end(text), delayMs);
      return response;
    };
  if (status === undefined) return cut === 'before';
  if (retryAfterS !== undefined) response.setHeader('retry-after', String(retryAfterS));
  refuse(response, status, reason, message, details);
  return true;
}

function send(response: ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function refuse(
  response: ServerResponse,
  code: number,
  reason: string,
  message = `${reason} on purpose`,
  details?: object,
): void {
  send(response, code, { kind: 'Status', apiVersion: 'v1', code, reason, message, details });
}

/** RFC 7386. */
function mergePatch(before: unknown, change: unknown): unknown {
  if (!isRecord(change)) return change;
  const merged: Record<string, unknown> = isRecord(before) ? { ...before } : {};
  for (const [key, value] of Object.entries(change))
    if (value === null) delete merged[key];
    else merged[key] = mergePatch(merged[key], value);
  return merged;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether an object is meant: labels that must be equal, and metadata.name. */
function selects(query: URLSearchParams, { metadata, type }: FakeObject): boolean {
  const pairs = (key: string) =>
    (query.get(key) ?? '')
      .split(',')
      .filter((pair) => pair !== '')
      .map((pair) => pair.split('='));
  return (
    pairs('labelSelector').every(([key = '', value]) => metadata.labels?.[key] === value) &&
    pairs('fieldSelector').every(([key, value]) => {
      const fields: Readonly<Record<string, unknown>> = { 'metadata.name': metadata.name, type };
      return fields[key ?? ''] === value;
    })
  );
}

const microTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

/** As a real server judges a Lease that somebody holds or has held. */
function isValid({ kind, spec }: FakeObject): boolean {
  if (kind !== 'Lease' || spec === undefined) return true;
  return (
    Number(spec['leaseDurationSeconds']) > 0 &&
    Number(spec['leaseTransitions']) >= 0 &&
    microTime.test(String(spec['renewTime'])) &&
    microTime.test(String(spec['acquireTime']))
  );
}
