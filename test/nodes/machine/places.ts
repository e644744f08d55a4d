// Where everything of the test cluster is: names, addresses, folders. They are fixed, so that what
// an earlier run left is found, and two clusters at a time are impossible (the supervisor's lock).

import { join } from 'node:path';

/** Folder of everything the cluster writes, on a real file system: images are unpacked in it. */
export const clusterFolder = '/var/tmp/lockstep-nodes';

/** Name of the cgroup that everything of the cluster runs in, in each hierarchy. */
export const clusterGroup = 'lockstep-nodes';

/** The abstract socket whose owner is the one supervisor of this machine. */
export const lockName = '\0lockstep-nodes';

/** The network of the control plane, DNS, S3 and of who looks on: the "laptop". */
export const hub = {
  address: '10.250.0.1',
  apiPort: 6443,
  s3Port: 9000,
} as const;

/** Where S3 is, as pods and the laptop reach it. */
export const s3Endpoint = `http://${hub.address}:${hub.s3Port}`;

/** A node and its network. */
export interface NodePlace {
  readonly name: string;
  readonly address: string;
  /** Addresses of its pods. */
  readonly podRange: string;
  readonly folder: string;
}

const nodeOf = (letter: string, number: number): NodePlace => ({
  name: `node-${letter}`,
  address: `10.250.0.${10 + number}`,
  podRange: `10.244.${number}.0/24`,
  folder: join(clusterFolder, `node-${letter}`),
});

/** Both nodes. */
export const nodePlaces: readonly NodePlace[] = [nodeOf('a', 1), nodeOf('b', 2)];

/** Addresses of all pods, and of Services. */
export const podRanges = '10.244.0.0/16';
export const serviceRange = '10.96.0.0/16';

/** The control plane's folder. */
export const planeFolder = join(clusterFolder, 'plane');

/** A kubeconfig of the control plane's, by its user. */
export const kubeconfigOf = (user: string): string => join(planeFolder, `${user}.kubeconfig`);

/** The folder whose folders are the buckets of the S3 server. */
export const s3Folder = join(clusterFolder, 's3');

/** The keys of the S3 server. */
export const s3Keys = { accessKeyId: 'lockstep-test', secretAccessKey: 'lockstep-test-secret' };

/** What the supervisor says when the cluster is up: the processes whose networks are meant. */
export interface ClusterPids {
  readonly hub: number;
  /** By name of the node. */
  readonly nodes: Readonly<Record<string, number>>;
}
