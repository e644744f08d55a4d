// What a run in a cluster and its objects are called: all follows from its namespace and its name.

import { packageVersion } from '../../shared/paths.js';
import { OperatorError } from '../../shared/problems.js';
import type { Kind } from './client/cluster-client.js';

/** A run in a cluster; on the command line `k8s://NAMESPACE/NAME`. */
export interface ClusterRun {
  readonly namespace: string;
  readonly name: string;
}

const prefix = 'k8s://';
/** Names of pods are longer by up to 23 letters, and a label holds 63. */
const longestName = 40;
const labelPattern = /^[a-z]([a-z0-9-]*[a-z0-9])?$/;
const namespacePattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** Ports of the two programs, in pods, Services and policies. */
export const ports = { control: 7400, exchange: 7401, page: 7480, metrics: 9464 } as const;

/** Of a namespace whose pods may ask for metrics: "true". */
export const metricsLabel = 'lockstep.dev/metrics';

/** Keys of a run's root ConfigMap. */
export const rootKeys = { spec: 'run.yaml', launch: 'launch.json' } as const;

export type Component = 'coordinator' | 'worker';

/** Whether RUN names a run in a cluster. */
export function isClusterRun(run: string): boolean {
  return run.startsWith(prefix);
}

/** `k8s://NAMESPACE/NAME`, taken apart; throws OperatorError for another form. */
export function parseClusterRun(run: string): ClusterRun {
  const [namespace = '', name = '', ...rest] = run.slice(prefix.length).split('/');
  if (isClusterRun(run) && rest.length === 0 && isNamespace(namespace) && isRunName(name))
    return { namespace, name };
  throw new OperatorError('there can be no such run', [
    { key: 'RUN', given: run, allowed: `${prefix}NAMESPACE/NAME, as lockstep launch says it` },
  ]);
}

/** The form that `parseClusterRun` reads. */
export function formatClusterRun({ namespace, name }: ClusterRun): string {
  return `${prefix}${namespace}/${name}`;
}

/** Whether a run can have this name: a DNS label of at most 40 characters. */
export function isRunName(name: string): boolean {
  return name.length <= longestName && labelPattern.test(name);
}

/** Whether a namespace can have this name. */
export function isNamespace(namespace: string): boolean {
  return namespacePattern.test(namespace);
}

/** Names of a run's objects. */
export function objectNames(name: string) {
  return {
    /** The ConfigMap that owns all the others. */
    root: `${name}-run`,
    lease: name,
    /** The Secret with the certificates of its pods. */
    certificates: `${name}-tls`,
    /** Job, Service, ServiceAccount, Role, policy. */
    coordinator: `${name}-coordinator`,
    /** Job, ServiceAccount, policy, disruption budget. */
    worker: `${name}-worker`,
    /** Headless Service. */
    workers: `${name}-workers`,
  } as const;
}

/** All objects of a run but its root, whatever it was launched with. */
export function ownedObjects(name: string): readonly (readonly [kind: Kind, name: string])[] {
  const { coordinator, worker, workers, lease } = objectNames(name);
  return [
    ['Job', coordinator],
    ['Job', worker],
    ['Service', coordinator],
    ['Service', workers],
    ['ServiceAccount', coordinator],
    ['ServiceAccount', worker],
    ['Role', coordinator],
    ['RoleBinding', coordinator],
    ['NetworkPolicy', coordinator],
    ['NetworkPolicy', worker],
    ['PodDisruptionBudget', worker],
    ['Lease', lease],
  ];
}

/** Labels by which a run's pods are found. */
export function selectorLabels(name: string, component: Component): Record<string, string> {
  return {
    'app.kubernetes.io/name': 'lockstep',
    'app.kubernetes.io/instance': name,
    'app.kubernetes.io/component': component,
  };
}

/** Labels of a run's objects; the root and the Lease belong to no component. */
export function labelsOf(name: string, component?: Component): Record<string, string> {
  return {
    'app.kubernetes.io/name': 'lockstep',
    'app.kubernetes.io/instance': name,
    ...(component === undefined ? {} : { 'app.kubernetes.io/component': component }),
    'app.kubernetes.io/part-of': 'lockstep',
    'app.kubernetes.io/version': packageVersion(),
    'app.kubernetes.io/managed-by': 'lockstep',
  };
}

/** A label selector for all pods of a run, or for those of one component. */
export function labelSelector(name: string, component?: Component): string {
  const wanted = { 'app.kubernetes.io/name': 'lockstep', 'app.kubernetes.io/instance': name };
  const labels = component === undefined ? wanted : selectorLabels(name, component);
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}
