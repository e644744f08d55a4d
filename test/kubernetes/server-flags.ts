// The command lines of a control plane's programs that listen on loopback.

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
  ];
}

/** The controllers, as they come. */
export function controllerManager({ folder, ports, ca }: Layout): string[] {
  return [
    ...kubeconfigFlags(join(folder, 'controllers.kubeconfig')),
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    `--secure-port=${ports.controllers}`,
    `--service-account-private-key-file=${join(folder, 'sa.key')}`,
    '--use-service-account-credentials',
    `--root-ca-file=${ca}`,
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
