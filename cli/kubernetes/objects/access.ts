// What a run's pods may do in the cluster: coordinators keep their own Lease, workers nothing.
// A table says the same for people, and for a test that asks a real API server.

import type {
  V1PolicyRule,
  V1Role,
  V1RoleBinding,
  V1ServiceAccount,
} from '@kubernetes/client-node';
import type { LaunchParameters } from '../launch-parameters.js';
import { objectNames, type Component } from '../names.js';
import { metadataOf, type Manifest, type Owner } from './root.js';

const leases = { apiGroups: ['coordination.k8s.io'], resources: ['leases'] };

/** Rights of the coordinators. A name can't restrict `create`: there is none yet. */
export function leaseRules(lease: string): V1PolicyRule[] {
  return [
    { ...leases, resourceNames: [lease], verbs: ['get', 'update', 'patch'] },
    { ...leases, verbs: ['create'] },
  ];
}

/** ServiceAccounts (unless the cluster's owner gives one), and the coordinators' Role. */
export function accessObjects(owner: Owner, parameters: LaunchParameters): Manifest[] {
  const { coordinator } = objectNames(owner.name);
  const { serviceAccount, serviceAccountRole: role } = parameters;
  const own = serviceAccount === undefined;
  return [
    ...(own ? [account(owner, 'coordinator', role), account(owner, 'worker', role)] : []),
    leaseRole(owner),
    roleBinding(owner, serviceAccount ?? coordinator),
  ];
}

/** Pods say themselves whether they want a token. The role is read by AWS's webhook. */
function account(
  owner: Owner,
  component: Component,
  role: string | undefined,
): V1ServiceAccount & Manifest {
  const metadata = metadataOf(owner, objectNames(owner.name)[component], component);
  const annotations = role === undefined ? undefined : { 'eks.amazonaws.com/role-arn': role };
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: annotations === undefined ? metadata : { ...metadata, annotations },
    automountServiceAccountToken: false,
  };
}

function leaseRole(owner: Owner): V1Role & Manifest {
  const { coordinator, lease } = objectNames(owner.name);
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: metadataOf(owner, coordinator, 'coordinator'),
    rules: leaseRules(lease),
  };
}

function roleBinding(owner: Owner, account: string): V1RoleBinding & Manifest {
  const { coordinator } = objectNames(owner.name);
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: metadataOf(owner, coordinator, 'coordinator'),
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: coordinator },
    subjects: [{ kind: 'ServiceAccount', name: account, namespace: owner.namespace }],
  };
}

/** One question to the API server, and the answer that is right. */
export interface AccessCase {
  readonly account: 'coordinator' | 'worker' | 'launcher';
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  /** Undefined: any. */
  readonly name?: string;
  /** In a namespace other than the run's. */
  readonly elsewhere?: boolean;
  readonly isAllowed: boolean;
}

type Row = readonly [verbs: string, group: string, resource: string, name?: string];

/** What a person (or a pipeline) who launches needs, in the namespace of the run. */
export const launcherRows: readonly Row[] = [
  ['get list create patch delete', '', 'configmaps'],
  // Only where the API server checks who may block a deletion.
  ['update', '', 'configmaps/finalizers'],
  ['get create patch delete', '', 'services'],
  ['get create patch delete', '', 'serviceaccounts'],
  ['get list watch', '', 'pods'],
  ['get', '', 'pods/log'],
  ['get list watch create patch delete', 'batch', 'jobs'],
  // Update: nobody can give the coordinators a right that they have not got themselves.
  ['get list watch create update patch delete', 'coordination.k8s.io', 'leases'],
  ['get create patch delete', 'rbac.authorization.k8s.io', 'roles'],
  ['get create patch delete', 'rbac.authorization.k8s.io', 'rolebindings'],
  ['get create patch delete', 'networking.k8s.io', 'networkpolicies'],
  ['get create patch delete', 'policy', 'poddisruptionbudgets'],
];

const forbiddenToPods: readonly Row[] = [
  ['get list', '', 'secrets'],
  ['get list patch', '', 'configmaps'],
  ['get list create delete', '', 'pods'],
  ['create', '', 'pods/exec'],
  ['get patch delete', 'batch', 'jobs'],
  ['delete list watch', 'coordination.k8s.io', 'leases'],
  ['create patch', 'rbac.authorization.k8s.io', 'roles'],
  ['create patch', 'rbac.authorization.k8s.io', 'rolebindings'],
];

/** What each account of the run `name` may and must not do. */
export function accessTable(name: string): AccessCase[] {
  const { lease } = objectNames(name);
  const group = 'coordination.k8s.io';
  const own: Row = ['get update patch', group, 'leases', lease];
  return [
    ...cases('coordinator', [own, ['create', group, 'leases']], true),
    ...cases('coordinator', [['get update patch', group, 'leases', `${lease}-2`]], false),
    ...cases('coordinator', [own], false).map((one) => ({ ...one, elsewhere: true })),
    ...cases('coordinator', forbiddenToPods, false),
    ...cases('worker', [own, ['create', group, 'leases'], ...forbiddenToPods], false),
    ...cases('launcher', launcherRows, true),
    ...cases(
      'launcher',
      [
        ['get list', '', 'secrets'],
        ['create', '', 'pods/exec'],
      ],
      false,
    ),
  ];
}

function cases(
  account: AccessCase['account'],
  rows: readonly Row[],
  isAllowed: boolean,
): AccessCase[] {
  return rows.flatMap(([verbs, group, target, name]) => {
    const [resource = '', subresource] = target.split('/');
    return verbs.split(' ').map((verb) => ({
      ...{ account, verb, group, resource, isAllowed },
      ...(subresource === undefined ? {} : { subresource }),
      ...(name === undefined ? {} : { name }),
    }));
  });
}

/** The rights of a launcher as rules of a Role. */
export function launcherRules(): V1PolicyRule[] {
  return launcherRows.map(([verbs, group, resource]) => ({
    apiGroups: [group],
    resources: [resource],
    verbs: verbs.split(' '),
  }));
}
