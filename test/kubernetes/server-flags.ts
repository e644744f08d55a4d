// The command lines of the control plane's programs. Times are shorter than a cluster's defaults,
// so that a node that is gone is noticed in seconds; what is decided is decided by the same code.

import { join } from 'node:path';

/** Where everything of one control plane is. */
export interface Layout {
  readonly folder: string;
  readonly ports: {
    readonly etcdClient: number;
    readonly etcdPeer: number;
    readonly api: number;
    readonly controllers: number;
    readonly scheduler: number;
  };
  readonly tokens: {
    readonly admin: string;
    readonly controllers: string;
    readonly scheduler: string;
  };
  /** The certificate that the API server makes for itself, and the copy that clients trust. */
  readonly certificate: string;
  readonly ca: string;
}

/** How long a node may be silent before its pods are taken from it. */
export const nodeGraceS = 10;
/** How long pods stay on a node that is not ready, or can't be reached. */
const tolerationS = 1;

const kubeconfigFlags = (file: string): string[] =>
  ['kubeconfig', 'authentication-kubeconfig', 'authorization-kubeconfig'].map(
    (flag) => `--${flag}=${file}`,
  );

/** etcd without fsync: nothing here outlives the test. */
export function etcd({ folder, ports }: Layout): string[] {
  const client = `http://127.0.0.1:${ports.etcdClient}`;
  const peer = `http://127.0.0.1:${ports.etcdPeer}`;
  return [
    `--data-dir=${join(folder, 'etcd')}`,
    '--unsafe-no-fsync',
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
  ];
}

/** The API server: RBAC, the default admission plugins, tokens from a file. */
export function apiServer({ folder, ports }: Layout): string[] {
  return [
    `--etcd-servers=http://127.0.0.1:${ports.etcdClient}`,
    `--cert-dir=${join(folder, 'certs')}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${ports.api}`,
    // The endpoint of the Service "kubernetes" would have to be an address that is not loopback.
    '--endpoint-reconciler-type=none',
    '--service-cluster-ip-range=10.96.0.0/16',
    `--service-account-key-file=${join(folder, 'sa.pub')}`,
    `--service-account-signing-key-file=${join(folder, 'sa.key')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    '--authorization-mode=RBAC',
    // As in any cluster: what is privileged is refused by Pod Security.
    '--allow-privileged=true',
    `--token-auth-file=${join(folder, 'tokens.csv')}`,
    '--kubelet-preferred-address-types=InternalIP',
    `--default-not-ready-toleration-seconds=${tolerationS}`,
    `--default-unreachable-toleration-seconds=${tolerationS}`,
  ];
}

/** All controllers but those of Endpoints, which refuse loopback addresses: the agent's work. */
export function controllerManager({ folder, ports, ca }: Layout): string[] {
  const endpoints = ['endpoints', 'endpointslice', 'endpointslice-mirroring'];
  return [
    ...kubeconfigFlags(join(folder, 'controllers.kubeconfig')),
    `--controllers=*,${endpoints.map((name) => `-${name}-controller`).join(',')}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    `--secure-port=${ports.controllers}`,
    `--service-account-private-key-file=${join(folder, 'sa.key')}`,
    '--use-service-account-credentials',
    `--root-ca-file=${ca}`,
    '--node-monitor-period=1s',
    `--node-monitor-grace-period=${nodeGraceS}s`,
  ];
}

/** The scheduler, as it comes. */
export function scheduler({ folder, ports }: Layout): string[] {
  return [
    ...kubeconfigFlags(join(folder, 'scheduler.kubeconfig')),
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    `--secure-port=${ports.scheduler}`,
  ];
}
