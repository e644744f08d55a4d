// A Kubernetes API server as far as Lease objects go, on loopback: versions, conflicts, validation
// and tokens as the real one has them, and faults on demand. It keeps everything in memory.

import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A Lease as it comes over the wire. */
export interface WireLease {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly resourceVersion: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: {
    readonly holderIdentity: string;
    readonly leaseDurationSeconds: number;
    readonly leaseTransitions: number;
    readonly renewTime: string;
    readonly acquireTime: string;
  };
}

/** What goes wrong with requests. */
export interface ApiFault {
  /** Answer this instead of doing it. */
  readonly status?: number;
  readonly retryAfterS?: number;
  /** Cut the connection: before it is done, or after, so that only the answer is lost. */
  readonly cut?: 'before' | 'after';
  /** Answer so much later. */
  readonly delayMs?: number;
  /** Only requests of this method, or of this user (by its token). */
  readonly method?: string;
  readonly token?: string;
  /** How many requests; all until `clear` when not given. */
  readonly times?: number;
}

export interface SeenRequest {
  readonly atMs: number;
  readonly method: string;
  readonly token: string;
  readonly status: number;
}

export interface LeaseApi {
  readonly url: string;
  readonly requests: readonly SeenRequest[];
  lease(name: string): WireLease | undefined;
  /** As `kubectl annotate` does; undefined removes it. */
  annotate(name: string, annotations: Readonly<Record<string, string | undefined>>): void;
  remove(name: string): void;
  inflict(fault: ApiFault): void;
  clear(): void;
  /** Writes a kubeconfig for a user with this token. */
  writeKubeconfig(path: string, token: string): Promise<void>;
  close(): Promise<void>;
}

interface ActiveFault {
  readonly fault: ApiFault;
  left: number;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const path =
  /^\/apis\/coordination\.k8s\.io\/v1\/namespaces\/([^/]+)\/leases(?:\/([^/?]+))?(?:\?.*)?$/;
const microTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

/** Starts a server without any lease. */
export async function startLeaseApi(): Promise<LeaseApi> {
  const leases = new Map<string, WireLease>();
  const requests: SeenRequest[] = [];
  let faults: ActiveFault[] = [];
  let version = 0;
  const store = (name: string, lease: WireLease): WireLease => {
    version += 1;
    const metadata = { ...lease.metadata, name, resourceVersion: String(version) };
    const stored = { ...lease, metadata };
    leases.set(name, stored);
    return stored;
  };
  const serve = (method: string, name: string | undefined, text: string): Answer => {
    const given = text === '' ? undefined : (JSON.parse(text) as WireLease);
    if (given !== undefined && !isValid(given)) return status(422, 'spec is invalid');
    const key = name ?? given?.metadata.name ?? '';
    const before = leases.get(key);
    if (method === 'POST' && given !== undefined)
      return before === undefined
        ? { status: 201, body: store(key, given) }
        : status(409, `leases "${key}" already exists`);
    if (before === undefined) return status(404, `leases "${key}" not found`);
    if (method === 'GET') return { status: 200, body: before };
    if (method !== 'PUT' || given === undefined) return status(405, 'not allowed');
    if (given.metadata.resourceVersion !== before.metadata.resourceVersion)
      return status(409, 'the object has been modified');
    return { status: 200, body: store(key, given) };
  };
  const faultOf = (method: string, token: string): ApiFault | undefined => {
    const active = faults.find(
      ({ fault, left }) =>
        left > 0 &&
        (fault.method === undefined || fault.method === method) &&
        (fault.token === undefined || fault.token === token),
    );
    if (active !== undefined) active.left -= 1;
    return active?.fault;
  };
  const server = createServer((request, response) => {
    void readAll(request).then((text) => {
      const { method = '', url = '' } = request;
      const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
      const [, , name] = path.exec(url) ?? [];
      const fault = faultOf(method, token ?? '');
      const note = (code: number): void =>
        void requests.push({ atMs: performance.now(), method, token: token ?? '', status: code });
      if (fault?.cut === 'before') {
        note(0);
        return void request.socket.destroy();
      }
      const answer =
        token === undefined
          ? status(401, 'Unauthorized')
          : fault?.status !== undefined
            ? status(fault.status, 'on purpose')
            : path.test(url)
              ? serve(method, name, text)
              : status(404, 'the server could not find the requested resource');
      note(fault?.cut === 'after' ? 0 : answer.status);
      if (fault?.cut === 'after') return void request.socket.destroy();
      setTimeout(() => send(response, answer, fault?.retryAfterS), fault?.delayMs ?? 0);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    ...{ url, requests },
    lease: (name) => leases.get(name),
    annotate: (name, annotations) => {
      const lease = leases.get(name);
      if (lease === undefined) throw new Error(`there is no lease ${name}`);
      const merged = Object.entries({ ...lease.metadata.annotations, ...annotations });
      const kept = merged.filter((entry): entry is [string, string] => entry[1] !== undefined);
      const metadata = { ...lease.metadata, annotations: Object.fromEntries(kept) };
      store(name, { ...lease, metadata });
    },
    remove: (name) => void leases.delete(name),
    inflict: (fault) => void faults.push({ fault, left: fault.times ?? Infinity }),
    clear: () => void (faults = []),
    writeKubeconfig: (file, token) => writeFile(file, kubeconfig(url, token)),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** JSON is YAML. */
function kubeconfig(server: string, token: string): string {
  return JSON.stringify({
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'test' },
    clusters: [{ name: 'test', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'test', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
  });
}

function isValid({ spec }: WireLease): boolean {
  return (
    spec.leaseDurationSeconds > 0 &&
    spec.leaseTransitions >= 0 &&
    microTime.test(spec.renewTime) &&
    microTime.test(spec.acquireTime)
  );
}

function status(code: number, message: string): Answer {
  return {
    status: code,
    body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, message },
  };
}

function send(
  response: ServerResponse,
  { status: code, body }: Answer,
  retryAfterS: number | undefined,
): void {
  const retryAfter = retryAfterS === undefined ? {} : { 'retry-after': String(retryAfterS) };
  response.writeHead(code, { 'content-type': 'application/json', ...retryAfter });
  response.end(JSON.stringify(body));
}

async function readAll(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const part of request) text += String(part);
  return text;
}
