// What cluster DNS and kube-proxy do, on loopback: each Service has an address that leads to one of
// its ready pods, refused while there is none; a headless Service's name has the addresses of its
// pods. Endpoints are worked out here, as the API server takes no loopback addresses into
// EndpointSlices.

import type { V1Pod, V1Service } from '@kubernetes/client-node';
import { renameSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { portNumber } from './probes.js';

/** A pod as a Service sees it. */
export interface Endpoint {
  readonly pod: V1Pod;
  readonly ip: string;
}

export interface Services {
  /** Takes the Services and pods as they are now. */
  update(services: readonly V1Service[], endpoints: readonly Endpoint[]): void;
  close(): void;
}

interface Listener {
  readonly server: Server;
  readonly sockets: Set<Socket>;
  targets: readonly Target[];
}

interface Target {
  readonly ip: string;
  readonly port: number;
}

/** A pod that gets connections: ready and not leaving. */
export function isServing({ metadata, status }: V1Pod): boolean {
  const isReady = status?.conditions?.some(
    ({ type, status: value }) => type === 'Ready' && value === 'True',
  );
  return isReady === true && metadata?.deletionTimestamp === undefined;
}

function selects(service: V1Service, { metadata }: V1Pod): boolean {
  const selector = Object.entries(service.spec?.selector ?? {});
  return (
    selector.length > 0 &&
    metadata?.namespace === service.metadata?.namespace &&
    selector.every(([key, value]) => metadata?.labels?.[key] === value)
  );
}

/** Services whose addresses are `127.OCTET.`, with the last two numbers of their cluster IP. */
export function createServices(file: string, octet: number): Services {
  const listeners = new Map<string, Listener>();
  const addressOf = ({ spec }: V1Service): string =>
    ['127', octet, ...(spec?.clusterIP ?? '').split('.').slice(2)].join('.');
  const close = (key: string, { server, sockets }: Listener): void => {
    listeners.delete(key);
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return {
    update(services, endpoints) {
      const names: Record<string, string[]> = {};
      const wanted = new Map<string, readonly Target[]>();
      for (const service of services) {
        const chosen = endpoints.filter(({ pod }) => selects(service, pod));
        const { publishNotReadyAddresses, clusterIP, ports = [] } = service.spec ?? {};
        const serving = chosen.filter(({ pod }) => publishNotReadyAddresses || isServing(pod));
        const name = `${service.metadata?.name}.${service.metadata?.namespace}`;
        if (clusterIP === 'None') {
          names[name] = serving.map(({ ip }) => ip);
          Object.assign(names, podNames(service, serving));
          continue;
        }
        const address = addressOf(service);
        names[name] = [address];
        for (const { port, targetPort } of ports)
          wanted.set(`${address}:${port}`, targetsOf(serving, targetPort ?? port));
      }
      writeNames(file, names);
      for (const [key, listener] of listeners)
        if ((wanted.get(key) ?? []).length === 0) close(key, listener);
      for (const [key, targets] of wanted) {
        const known = listeners.get(key);
        if (known !== undefined) known.targets = targets;
        else if (targets.length > 0) listeners.set(key, listen(key, targets));
      }
    },
    close() {
      for (const [key, listener] of listeners) close(key, listener);
    },
  };
}

/** `HOSTNAME.SERVICE`, for pods of the Service that is their subdomain. */
function podNames({ metadata }: V1Service, endpoints: readonly Endpoint[]) {
  const members = endpoints.filter(({ pod }) => pod.spec?.subdomain === metadata?.name);
  return Object.fromEntries(
    members.map(({ pod, ip }): [string, string[]] => {
      const { hostname, subdomain } = pod.spec ?? {};
      return [`${hostname ?? pod.metadata?.name}.${subdomain}.${metadata?.namespace}`, [ip]];
    }),
  );
}

function targetsOf(endpoints: readonly Endpoint[], port: unknown): Target[] {
  return endpoints.flatMap(({ pod, ip }) => {
    const ports = (pod.spec?.containers ?? []).map((container) => portNumber(container, port));
    const found = ports.find((number) => !Number.isNaN(number));
    return found === undefined ? [] : [{ ip, port: found }];
  });
}

function writeNames(file: string, names: Readonly<Record<string, readonly string[]>>): void {
  writeFileSync(`${file}.new`, JSON.stringify(names));
  renameSync(`${file}.new`, file);
}

/** Passes connections on to the targets in turn, as they are when a connection comes. */
function listen(key: string, targets: readonly Target[]): Listener {
  const sockets = new Set<Socket>();
  let turn = 0;
  const server = createServer((client) => {
    const target = listener.targets[turn++ % listener.targets.length];
    if (target === undefined) return client.destroy();
    const upstream = connect(target.port, target.ip);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  const listener: Listener = { server, sockets, targets };
  const [host = '', port = ''] = key.split(':');
  server.on('error', () => undefined);
  server.listen(Number(port), host);
  return listener;
}
